"""Questions to a process of its own, which is not left behind. The module here, `timeit`, runs what it is given."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from camfleet.supervisor.encoders import show
from camfleet.supervisor.environment import for_workers
from camfleet.supervisor.questions import ask

from tests.kit.supervisor import until

HANG = "import time; time.sleep(600)"  # far beyond the test; what a failed one leaves behind ends all the same
HANGS = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "{HANG}"])
with open({{path!r}}, "w") as file:
    file.write(str(child.pid) + "\\n")
{HANG}
"""


def once(code: str) -> list[str]:
    return ["-n", "1", "-r", "1", code]


async def test_the_answer_is_json() -> None:
    print_and_leave = "import os, sys; print([1, 2]); sys.stdout.flush(); os._exit(0)"
    assert await ask("timeit", once(print_and_leave), 60) == [1, 2]
    with pytest.raises(subprocess.SubprocessError):
        await ask("timeit", once("import os; os._exit(1)"), 60)
    with pytest.raises(json.JSONDecodeError):
        await ask("timeit", once("pass"), 60)


async def test_who_answers_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    tell = "import json, os, sys; print(json.dumps(dict(os.environ))); sys.stdout.flush(); os._exit(0)"
    told = await ask("timeit", once(tell), 60)
    assert "SOME_PASSWORD" not in told
    assert told["PATH"] == os.environ["PATH"]


def test_nor_is_what_the_command_for_people_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`camfleet encoders`; what it finds out, workers go by: a driver must be found there or not as here."""
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    started: list[dict[str, str]] = []

    def run(command: list[str], *, env: dict[str, str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        started.append(env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert show(tmp_path) == 0
    assert started == [for_workers()]
    assert "SOME_PASSWORD" not in started[0]


async def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        await ask("timeit", once(HANG), 0.1)


async def test_who_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """`camfleet serve` ends within two seconds, whatever a driver is doing."""
    started = tmp_path / "pid"
    asking = asyncio.create_task(ask("timeit", once(HANGS.format(path=str(started))), 600))
    await until(lambda: started.exists() and started.read_text().endswith("\n"), 60)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    child = int(started.read_text())
    await until(lambda: not is_running(child), 60)
    assert asking.cancelled()


def is_running(pid: int) -> bool:
    """Not so a zombie, which waits for this system's init."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
