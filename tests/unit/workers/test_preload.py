"""In a process of its own: what has been imported once cannot be imported again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.clips import write_clip

SCRIPT = """
import gc, json, os, sys
import camfleet.workers.preload
if pid := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps({
    "threads": len(os.listdir("/proc/self/task")),
    "switch_interval_s": sys.getswitchinterval(),
    "frozen": gc.get_freeze_count(),
    "environment": dict(os.environ),
    "modules": sorted(sys.modules),
}))
"""


def preload(**environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, object] = json.loads(done.stdout)
    return loaded


def test_a_child_has_everything_a_worker_needs_frozen_and_without_threads() -> None:
    loaded = preload()
    assert loaded["threads"] == 1
    assert loaded["switch_interval_s"] == pytest.approx(0.0001)
    assert isinstance(loaded["frozen"], int)
    assert loaded["frozen"] > 10_000
    modules = loaded["modules"]
    assert isinstance(modules, list)
    wanted = {"av", "numpy", "zmq", "msgspec", "asyncio"} | {
        f"camfleet.{name}"
        for name in ("core.net.fanout", "core.ring.stream", "core.tls.session", "workers.bus", "workers.pipeline")
    }
    assert wanted <= set(modules)
    assert not [name for name in modules if name.startswith(("camfleet.supervisor", "OpenSSL", "cryptography"))]


def test_a_worker_imports_nothing_more_to_play_a_film_or_to_show_a_slate(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4")
    script = f"""
import sys
import camfleet.workers.preload
from camfleet.workers.sources import Place
from camfleet.workers.sources.filelive import FilePassThrough
from camfleet.workers.standby import Absence, Shape, open_slate
before = set(sys.modules)
source = FilePassThrough({str(film)!r}, 0)
assert source.read(source.due_ns, False)
open_slate(Place("ipc1-stream1", "Lobby", 0, print), Absence("", "", 0), Shape(), 0)
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
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


def test_a_thread_is_refused() -> None:
    script = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n" + SCRIPT
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "RuntimeError: 2 threads after the imports" in done.stderr
