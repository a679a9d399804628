import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest
from camfleet.core.wire import UserSpec
from camfleet.supervisor import StartError
from camfleet.supervisor.state import MAX_SOCKET_PATH_SIZE, StateFolder, default_state_dir


@pytest.mark.parametrize(
    ("environ", "uid", "folder"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/a"}, 0, "/var/lib/camfleet"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/a"}, 1000, "/x/camfleet"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/a"}, 1000, "/home/a/.local/state/camfleet"),
        ({"HOME": "/home/a"}, 1000, "/home/a/.local/state/camfleet"),
    ],
)
def test_default_state_dir(environ: dict[str, str], uid: int, folder: str) -> None:
    assert default_state_dir(environ, uid) == Path(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folders_are_private(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "a" / "state")
    state.prepare()
    assert [mode(folder) for folder in (state.path, state.certs, state.run)] == [0o700] * 3
    state.run.chmod(0o755)
    state.prepare()
    assert mode(state.run) == 0o700
    assert list(state.run.iterdir()) == []


def test_construction_touches_nothing(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    assert state.user() is None
    assert not state.path.exists()


def test_a_relative_folder_stays_when_the_process_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StateFolder(Path("state")).run == tmp_path / "state" / "run"


@pytest.mark.parametrize("excess", [0, 1])
def test_the_socket_names_must_fit(tmp_path: Path, excess: int) -> None:
    rest = MAX_SOCKET_PATH_SIZE - len(os.fsencode(tmp_path)) - len("//run/handoff.sock") + excess
    state = StateFolder(tmp_path / ("d" * rest))
    if excess:
        with pytest.raises(StartError, match=r"would have 108 bytes, Unix allows 107; choose .* --state-dir"):
            state.prepare()
        assert not state.path.exists()
    else:
        state.prepare()
        assert len(os.fsencode(state.run / "handoff.sock")) == 107


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"state folder .*file/state: Not a directory"):
        StateFolder(tmp_path / "file" / "state").prepare()
    (tmp_path / "certs").touch()
    with pytest.raises(StartError, match=r"state folder .*/certs: File exists"):
        StateFolder(tmp_path).prepare()


def test_a_folder_that_cannot_be_written_to() -> None:
    # /proc refuses even root.
    with pytest.raises(StartError, match=r"state folder /proc/camfleet: No such file or directory; choose"):
        StateFolder(Path("/proc/camfleet")).prepare()


def test_a_folder_on_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> contextlib.nullcontext[None]:
        if dir.name == "run":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return contextlib.nullcontext()

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StartError, match=r"state folder .*/run: Read-only file system; choose one with --state-dir"):
        StateFolder(tmp_path).prepare()


def test_the_generated_user(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    first = UserSpec(name="viewer", ha1_md5="00", ha1_sha256="11")
    second = UserSpec(name="viewer", ha1_md5="22", ha1_sha256="33")
    for user in (first, second):
        state.save_user(user)
        assert state.user() == user
    (file,) = tmp_path.iterdir()
    assert mode(file) == 0o600


@pytest.mark.parametrize("content", ["", "{", '{"name": "viewer"}', '{"name": "v", "ha1_md5": "", "more": 1}'])
def test_a_damaged_user_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "user.json").write_text(content)
    with pytest.raises(StartError, match=r"user\.json: "):
        StateFolder(tmp_path).user()


def test_a_user_that_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"user\.json: No such file"):
        StateFolder(tmp_path / "none").save_user(UserSpec(name="viewer", ha1_md5="00"))
