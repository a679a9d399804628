"""Encoders that are tried in children, and what is kept of it. There is no card: what a child does is the test's."""

import dataclasses
import fcntl
import grp
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from camfleet.workers.encoders import BACKENDS, choose, probing
from camfleet.workers.encoders.backends import SOFTWARE, Backend
from camfleet.workers.encoders.probing import HARDWARE, NO_GPU

NVENC = choose("h264", "nvenc")[0]
NO_SESSION = "the NVIDIA GPU opens no further encoder session"


def in_a_child(body: str, timeout_s: float = 10.0, before: str = "") -> str:
    """`probe` with this as the trial; in a process of its own, as it forks."""
    script = f"""
import os, resource, signal, sys, threading
from camfleet.workers.encoders import choose
from camfleet.workers.encoders.probing import probe
def trial(backend):
{body}
{before}
print(probe(choose("h264", "nvenc")[0], trial, {timeout_s}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    return ''", ""),
        ("    return 'no driver on this machine'", "no driver on this machine"),
        ("    os.kill(os.getpid(), signal.SIGSEGV)", "the driver crashes (SIGSEGV)"),
        ("    os._exit(7)", "the driver crashes (exit code 7)"),
        ("    raise OSError('lost the device')", "OSError: lost the device"),
        ("    return 'x' * 100_000", "x" * 4095),
        ("    print('a driver talks'); sys.stderr.write('and complains'); return ''", ""),
    ],
)
def test_whatever_happens_is_an_answer(body: str, reason: str) -> None:
    assert in_a_child(body) == reason


def test_the_number_of_a_descriptor_does_not_matter() -> None:
    many = """
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
for _ in range(1100):
    os.dup(0)
"""
    assert in_a_child("    return 'no driver'", before=many) == "no driver"


def test_a_driver_that_hangs_is_killed() -> None:
    """Deaf to everything else."""
    hang = "    signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()"
    assert in_a_child(hang, 0.2) == "no answer of the driver within 0.2 s"


def test_a_driver_that_crashes_leaves_no_core_dump() -> None:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    before = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, ({most}, {most}))"
    assert in_a_child("    return str(resource.getrlimit(resource.RLIMIT_CORE))", before=before) == "(0, 0)"


def test_a_missing_permission_is_the_reason_before_all_others() -> None:
    before = "from camfleet.workers.encoders import probing; probing._forbidden = lambda _: 'no permission'"
    assert in_a_child("    return 'no device'", before=before) == "no permission"
    assert in_a_child("    return ''", before=before) == ""


def test_the_trial_opens_and_encodes() -> None:
    assert [probing.trial(backend) for backend in SOFTWARE.values()] == ["", ""]
    silent = dataclasses.replace(SOFTWARE["h264"], options=lambda _: {"rc-lookahead": "40", "preset": "veryslow"})
    assert probing.trial(silent) == "it takes pictures and gives nothing"


@pytest.mark.skipif(bool(probing.devices()), reason="about machines without a graphics card")
@pytest.mark.parametrize("backend", HARDWARE, ids=lambda backend: backend.ffmpeg)
def test_a_machine_without_a_card_says_so_in_words(backend: Backend) -> None:
    words = {"nvenc": "no NVIDIA driver", "qsv": "VAAPI", "vaapi": "lacks VAAPI", "amf": "no AMD driver"}
    assert words[backend.name] in probing.trial(backend)


# ---------------------------------------------------------------- the command


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*probing.COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_command_tries_all_and_leaves_the_answers_for_the_workers(tmp_path: Path) -> None:
    done = command("--run-dir", str(tmp_path))
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows] == [[backend.codec.name, backend.name, backend.ffmpeg] for backend in BACKENDS]
    assert {"x264", "x265"} <= {row[1] for row in rows if row[-1] == "usable"}
    kept = probing.load(probing.cache_in(tmp_path), probing.machine())
    assert kept is not None
    assert kept.keys() == {backend.key for backend in HARDWARE}


def test_the_command_answers_for_some_in_json(tmp_path: Path) -> None:
    done = command("--json", "--run-dir", str(tmp_path), "h265/x265", "h264/nvenc")
    answers = json.loads(done.stdout)
    assert answers.keys() == {"h265/x265", "h264/nvenc"}
    assert answers["h265/x265"] == ""
    assert list(tmp_path.iterdir()) == []  # of some nothing is kept


def test_the_command_knows_its_names() -> None:
    done = command("h264/magic")
    assert done.returncode == 2
    assert "there is no h264/magic" in done.stderr


# ---------------------------------------------------------------- what a worker knows


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The device file of a card, and a run folder beside it."""
    node = tmp_path / "renderD128"
    node.touch(mode=0o660)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(probing, "devices", lambda: [str(node)])
    monkeypatch.setattr(probing, "_remembered", ("", {}))
    monkeypatch.setattr(probing, "_cache", probing.cache_in(tmp_path / "run"))
    return node


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were started; their answer is that there is one working card, of all its sessions taken."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        answers = {backend.key: "not for this card" for backend in HARDWARE}
        answers |= {"h264/nvenc": "", "h265/nvenc": NO_SESSION}
        if "--run-dir" in command:
            probing.store(probing.cache_in(Path(command[command.index("--run-dir") + 1])), probing.machine(), answers)
        return subprocess.CompletedProcess(command, 0, json.dumps(answers).encode())

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def forget() -> None:
    probing._remembered = ("", {})


def test_without_a_card_nothing_is_started(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "devices", list)
    assert set(probing.unusable().values()) == {NO_GPU}
    assert asked == []


@pytest.mark.usefixtures("card")
def test_what_one_worker_has_found_out_all_know(asked: list[list[str]]) -> None:
    for _ in range(3):
        unusable = probing.unusable()
        assert "h264/nvenc" not in unusable
        assert unusable["h264/vaapi"] == "not for this card"
        # That all its sessions are taken is no property of the machine: the next stream may find one.
        assert "h265/nvenc" not in unusable
        forget()  # as another worker
    assert len(asked) == 1


@pytest.mark.usefixtures("card")
def test_what_is_known_takes_no_time(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert probing.known() is None
    assert asked == []
    found = probing.unusable()
    monkeypatch.setattr(probing, "_find_out", lambda _: pytest.fail("asked"))
    forget()  # as another worker
    assert probing.known() == found
    monkeypatch.setattr(probing, "_cache", None)
    assert probing.known() == found


def test_who_comes_while_another_worker_tries_waits_for_its_answer(card: Path, asked: list[list[str]]) -> None:
    cache, found = probing.cache_in(card.parent / "run"), dict[str, str]()
    with cache.with_suffix(".probing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: found.update(probing.unusable()))
        second.start()
        second.join(0.1)
        assert (second.is_alive(), asked) == (True, [])
        probing.store(cache, probing.machine(), {"h264/qsv": "of the first"})
    second.join(5)
    assert (found, asked) == ({"h264/qsv": "of the first"}, [])


def test_a_worker_without_a_run_folder_asks_for_itself(
    card: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_cache", None)
    assert probing.unusable() == probing.unusable()
    assert len(asked) == 1
    assert list((card.parent / "run").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.chmod(0o666),
        lambda node: os.utime(node, ns=(1, 1)),
        lambda node: node.unlink(),
    ],
)
def test_when_the_device_changes_it_is_tried_again(
    change: Callable[[Path], None], card: Path, asked: list[list[str]]
) -> None:
    probing.unusable()
    change(card)
    probing.unusable()
    assert len(asked) == 2


@pytest.mark.usefixtures("card")
def test_another_boot_and_another_pyav_are_another_machine(
    asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    probing.unusable()
    before = probing.machine()
    monkeypatch.setattr(probing, "_read", lambda _: "another-boot\n")
    assert probing.machine() != before
    probing.unusable()
    monkeypatch.setattr(av, "__version__", "99")
    probing.unusable()
    assert len(asked) == 3


@pytest.mark.usefixtures("card")
def test_another_driver_and_other_groups_are_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "version"
    driver.touch()
    monkeypatch.setattr(probing, "_DRIVERS", (str(driver),))
    before = probing.machine()
    os.utime(driver, ns=(1, 1))
    after = probing.machine()
    monkeypatch.setattr(os, "getgroups", lambda: [44, 992])
    assert len({before, after, probing.machine()}) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": 5}', b"\xff", b'{"machine": "x", "unusable": {}}'])
def test_a_file_that_is_not_ours_is_no_answer(content: bytes, card: Path, asked: list[list[str]]) -> None:
    probing.cache_in(card.parent / "run").write_bytes(content)
    assert probing.unusable()["h264/qsv"] == "not for this card"
    assert len(asked) == 1


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    "failure",
    [subprocess.TimeoutExpired("x", 1), subprocess.CalledProcessError(1, "x"), OSError("no memory"), None],
)
def test_when_the_probe_itself_fails_the_cards_are_left_alone(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        if failure is not None:
            raise failure
        return subprocess.CompletedProcess(command, 0, b"not JSON")

    monkeypatch.setattr(subprocess, "run", run)
    assert set(probing.unusable().values()) == {"could not be tried, see the log"}


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = probing.cache_in(tmp_path)
    probing.store(path, "here", {"h264/nvenc": "x", "h264/qsv": "", "h265/nvenc": NO_SESSION})
    assert probing.load(path, "here") == {"h264/nvenc": "x"}
    assert probing.load(path, "elsewhere") is None
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_no_permission_is_said_as_what_it_is(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_existing", lambda _: [str(card)])
    assert probing._forbidden(NVENC) == ""
    monkeypatch.setattr(os, "access", lambda *_: False)
    group = card.stat().st_gid
    assert probing._forbidden(NVENC).startswith(
        f"no permission for {card}: the user of camfleet has to be in the group"
    )
    monkeypatch.setattr(grp, "getgrgid", {}.__getitem__)
    assert probing._forbidden(NVENC).endswith(f"the group {group}")
