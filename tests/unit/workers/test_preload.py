"""In a process of its own: what has been imported once cannot be imported again."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from camfleet.core.wire.forking import MAX_ORDER_SIZE, Fork, Forked, decode, encode

from tests.kit.clips import write_clip

SCRIPT = """
import gc, json, os, signal, sys
import camfleet.workers.preload
def give_up(reason):
    raise SystemExit(reason)
camfleet.workers.preload.preload(give_up)
if pid := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
gc.unfreeze()
everything = gc.get_objects()
gc.freeze()
print(json.dumps({
    "threads": len(os.listdir("/proc/self/task")),
    "switch_interval_s": sys.getswitchinterval(),
    "frozen": gc.get_freeze_count(),
    "descriptors": len(os.listdir("/proc/self/fd")),
    "sigterm_is_default": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    "alive": sorted({f"{type(each).__module__}.{type(each).__qualname__}" for each in everything} & {
        "asyncio.unix_events._UnixSelectorEventLoop", "av.container.input.InputContainer", "socket.socket",
        "camfleet.core.net.fanout.FanOut", "camfleet.core.ring.stream.MediaStream", "camfleet.workers.worker.Worker",
        "threading.Thread", "zmq.sugar.context.Context", "zmq.sugar.socket.Socket",
    }),
    "moved": len(camfleet.workers.preload._left_behind),
    "environment": dict(os.environ),
    "modules": sorted(sys.modules),
}))
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a child finds."""
    folder = tmp_path_factory.mktemp("temporary")
    done = run(SCRIPT, TMPDIR=str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"files": list(folder.iterdir())}


def test_a_child_has_everything_a_worker_needs_frozen_and_without_threads(loaded: dict[str, Any]) -> None:
    assert loaded["threads"] == 1
    assert loaded["switch_interval_s"] == pytest.approx(0.0001)
    assert loaded["frozen"] > 10_000
    modules = loaded["modules"]
    wanted = {"av", "numpy", "zmq", "msgspec", "asyncio"} | {
        f"camfleet.{name}"
        for name in ("core.net.fanout", "core.ring.stream", "core.tls.session", "workers.bus", "workers.pipeline")
    }
    assert wanted <= set(modules)
    assert not [name for name in modules if name.startswith(("camfleet.supervisor", "OpenSSL", "cryptography"))]


def test_of_the_rehearsal_nothing_is_left_but_what_it_made_of_the_code(loaded: dict[str, Any]) -> None:
    assert loaded["descriptors"] == 3 + 1  # and that of the look itself
    assert loaded["files"] == []
    assert loaded["alive"] == []
    assert loaded["sigterm_is_default"]
    assert loaded["moved"] > 300


def test_a_worker_imports_nothing_more_to_play_a_film_or_to_show_a_slate(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4")
    script = f"""
import sys
from camfleet.workers.preload import preload
preload(sys.exit)
from camfleet.workers.sources import Place
from camfleet.workers.sources.filelive import FilePassThrough
from camfleet.workers.standby import Absence, Shape, open_slate
before = set(sys.modules)
source = FilePassThrough({str(film)!r}, 0)
assert list(source.read(source.due_ns, False))
open_slate(Place("ipc1-stream1", "Lobby", 0, print), Absence("", "", 0), Shape(), 0)
print(sorted(set(sys.modules) - before))
"""
    done = run(script)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GNUTLS_SYSTEM_PRIORITY_FILE", "/dev/null"),
        ("ALSA_CONFIG_PATH", "/usr/share/alsa/alsa.conf"),
        ("OPENBLAS_NUM_THREADS", "1"),
    ],
)
def test_libraries_do_not_look_for_their_settings_in_the_temporary_directory(name: str, value: str) -> None:
    script = f"import camfleet.workers, os; print(os.environ[{name!r}])"
    bare = {key: text for key, text in os.environ.items() if key != name}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=bare)
    assert done.stdout.strip() == value


FAULTS = {  # what goes wrong, what is said of it
    "an error": ("raise OSError('no space left on device')", "OSError: no space left on device"),
    "a thread each time": ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "3 threads were"),
    "no end": ("signal.setitimer(signal.ITIMER_REAL, 0.2); threading.Event().wait()", "not over after"),
}


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_fork_server_whose_rehearsal_fails_does_without(fault: str, reason: str, tmp_path: Path) -> None:
    script = f"""
import signal, threading
from camfleet.workers import forkserver, preload, rehearsal
preload.LEAVING_S = 0.2
def rehearse(clients):
    {fault}
rehearsal.rehearse = rehearse
forkserver.main()
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", script], stdin=theirs.fileno(), stderr=log)
        theirs.close()
        ours.settimeout(60)
        ours.send(encode(Fork("ipc1", str(tmp_path), successor=False)))
        data, descriptors, _, _ = socket.recv_fds(ours, MAX_ORDER_SIZE, 1)
        forked = decode(data)
        assert isinstance(forked, Forked)
        signal.pidfd_send_signal(descriptors[0], signal.SIGKILL)
        os.close(descriptors[0])
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(60) == 0
        log.seek(0)
        lines = log.read()
    assert reason in lines
    assert "rehearsal_failed" in lines
