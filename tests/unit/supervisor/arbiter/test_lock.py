"""flock files: who holds them, and one supervisor per state folder."""

import fcntl
import os
from pathlib import Path

import pytest
from camfleet.supervisor import StartError
from camfleet.supervisor.arbiter.lock import SupervisorLock, camera_locks, holder


def lock(path: Path, text: str) -> int:
    path.write_text(text)
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_second_supervisor_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first = SupervisorLock(tmp_path)
    with pytest.raises(StartError, match=f"pid {os.getpid()}.*{tmp_path}"):
        SupervisorLock(tmp_path)
    first.release()
    SupervisorLock(tmp_path).release()


def test_a_shorter_pid_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "supervisor.lock").write_text("12345678901234567890\n")
    held = SupervisorLock(tmp_path)
    assert (tmp_path / "supervisor.lock").read_text() == f"{os.getpid()}\n"
    held.release()


def test_holder(tmp_path: Path) -> None:
    path = tmp_path / "ipc1.lock"
    assert holder(path) is None  # no file
    descriptor = lock(path, "4711")
    assert holder(path) == 4711
    os.close(descriptor)
    assert holder(path) is None  # left behind by one who has died
    assert path.exists()


@pytest.mark.parametrize("text", ["", "x", "12 34"])
def test_a_holder_that_has_not_written_its_pid_is_unknown(tmp_path: Path, text: str) -> None:
    descriptor = lock(tmp_path / "ipc1.lock", text)
    assert holder(tmp_path / "ipc1.lock") is None
    os.close(descriptor)


def test_asking_does_not_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "ipc1.lock"
    path.write_text("1")
    assert holder(path) is None
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_camera_locks_are_named_after_the_camera(tmp_path: Path) -> None:
    for name in ("ipc2.lock", "ipc1.lock", "bus.sock"):
        (tmp_path / name).touch()
    assert list(camera_locks(tmp_path)) == ["ipc1", "ipc2"]
