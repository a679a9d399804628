"""Which encoders of this machine's graphics cards can be used, found by using them, each in a process of its own.

    known()               a worker asks: from memory, or from the file in the run folder
    unusable()            ... or, in seconds, by starting
      python -m camfleet.workers.encoders        ... which imports PyAV, forks for each encoder, and writes the file
        trial()                                  ... opens it and encodes: it may crash, or be killed when it hangs

What was found counts until the machine or its drivers change, or are started anew: `machine` is the key.
"""

import fcntl
import grp
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import av
from av.video.frame import VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..codecs import BT709
from .backends import BACKENDS, Backend
from .encoder import Encoder
from .errors import TRANSIENT, EncoderError

log = Log("encoders")

NO_GPU = "no graphics card on this machine"
PROBE_TIMEOUT_S = 10.0  # a cold driver takes a second or two
PICTURES = 30  # after so many a picture must have come out
REAP_TIMEOUT_S = 1.0  # for what has been killed; a process stuck in the kernel is left to the system
COMMAND = [sys.executable, "-P", "-m", "camfleet.workers.encoders"]

HARDWARE = tuple(backend for backend in BACKENDS if backend.nodes)
# Beside the device files: NVIDIA's appear with the first use of the card, the driver is there before.
_DRIVERS = ("/proc/driver/nvidia/version", "/etc/ld.so.cache")

_cache: Path | None = None
_remembered: tuple[str, Mapping[str, str]] = ("", {})


def keep_in(run_dir: Path) -> None:
    """Where this process and others of this server find what one of them has found out."""
    global _cache
    _cache = cache_in(run_dir)


def cache_in(run_dir: Path) -> Path:
    return run_dir / "encoders.json"


def known() -> Mapping[str, str] | None:
    """As `unusable`; None when that has to be found out."""
    global _remembered
    if not devices():
        return {backend.key: NO_GPU for backend in HARDWARE}
    now = machine()
    if _remembered[0] != now:
        found = load(_cache, now) if _cache is not None else None
        if found is None:
            return None
        _remembered = now, found
    return _remembered[1]


def unusable() -> Mapping[str, str]:
    """Why not, by Backend.key. An encoder that is not in it may be tried."""
    global _remembered
    found = known()
    if found is None:
        now = machine()
        found = _find_out(now)
        _remembered = now, found
    return found


def devices() -> list[str]:
    """Signs of a card that some encoder here could use."""
    return _existing({pattern for backend in HARDWARE for pattern in backend.nodes} | {_DRIVERS[0]})


def machine() -> str:
    """Changes whenever the answers may: with a boot, another PyAV, a device, its permissions, ours, a driver."""
    parts = [_read("/proc/sys/kernel/random/boot_id").strip(), av.__version__, str(os.geteuid()), str(os.getgroups())]
    for path in [*devices(), *_DRIVERS]:
        try:
            found = Path(path).stat()
        except OSError:
            continue
        parts.append(f"{path} {found.st_mode:o} {found.st_uid} {found.st_gid} {found.st_rdev} {found.st_mtime_ns}")
    return "\n".join(parts)


# ---------------------------------------------------------------- in a worker


def _find_out(now: str) -> Mapping[str, str]:
    if _cache is None:
        return _ask_child([])
    with _cache.with_suffix(".probing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a hundred workers start at once, and one child is enough
        found = load(_cache, now)
        return _ask_child(["--run-dir", str(_cache.parent)]) if found is None else found


def _ask_child(options: list[str]) -> Mapping[str, str]:
    names = [backend.key for backend in HARDWARE]
    try:
        timeout_s = (PROBE_TIMEOUT_S + REAP_TIMEOUT_S) * len(names) + PROBE_TIMEOUT_S
        done = subprocess.run(
            [*COMMAND, "--json", *options, *names], capture_output=True, timeout=timeout_s, check=True
        )
        answers: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.error("encoders_not_probed", reason=str(error))
        return dict.fromkeys(names, "could not be tried, see the log")
    return {name: reason for name, reason in answers.items() if reason and not is_transient(reason)}


def is_transient(reason: str) -> bool:
    """Other programs may have given back tomorrow what they have today."""
    return reason in TRANSIENT


# ---------------------------------------------------------------- the file


def load(path: Path, now: str) -> Mapping[str, str] | None:
    """None when there is none for this machine as it is now."""
    try:
        kept = json.loads(path.read_bytes())
        return dict(kept["unusable"]) if kept["machine"] == now else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store(path: Path, now: str, answers: Mapping[str, str]) -> None:
    """Whole or not at all. Raises OSError."""
    kept = {name: reason for name, reason in answers.items() if reason and not is_transient(reason)}
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps({"machine": now, "unusable": kept}))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


# ---------------------------------------------------------------- in the child


def trial(backend: Backend) -> str:
    """Open it and encode until an access unit comes out."""
    video = VideoSpec(codec=backend.codec.name, width=640, height=360)
    picture = VideoFrame(video.width, video.height, "yuv420p")
    for plane in picture.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    try:
        encoder = Encoder(video, backend, BT709)
        if any(encoder.encode(picture, number, number, False) for number in range(PICTURES)):
            return ""
    except EncoderError as error:
        return str(error).removeprefix(f"{backend.ffmpeg}: ")
    return "it takes pictures and gives nothing"


def probe_all(backends: Iterable[Backend]) -> dict[str, str]:
    """By Backend.key why it cannot be used; empty: it can."""
    return {backend.key: probe(backend) for backend in backends}


def probe(backend: Backend, trial: Callable[[Backend], str] = trial, timeout_s: float = PROBE_TIMEOUT_S) -> str:
    """What `trial` says in a child of this process, which must have one thread only."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _answer(writer, trial, backend)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read() if _is_readable(reader, timeout_s) else None
    if answer is None:
        os.kill(pid, signal.SIGKILL)
    status = _reap(pid)
    if answer is None:
        reason = f"no answer of the driver within {timeout_s:g} s"
    elif answer:
        reason = answer.decode()[:-1]
    else:
        reason = f"the driver crashes ({_end(status)})"
    return _forbidden(backend) or reason if reason else ""


def _answer(writer: int, trial: Callable[[Backend], str], backend: Backend) -> None:
    """The life of the child. The answer ends with a mark, so that an empty one is not a crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # drivers talk
        os.dup2(nowhere, descriptor)
    try:
        answer = trial(backend)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    os.write(writer, answer.encode()[: select.PIPE_BUF - 1] + b".")
    os._exit(0)


def _reap(pid: int) -> int:
    """Its status; 0 when it does not end."""
    pidfd = os.pidfd_open(pid)
    try:
        _is_readable(pidfd, REAP_TIMEOUT_S)
    finally:
        os.close(pidfd)
    return os.waitpid(pid, os.WNOHANG)[1]


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    ready = select.poll()  # select() knows descriptors up to 1023 only
    ready.register(descriptor, select.POLLIN)
    return bool(ready.poll(timeout_s * 1000))


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _forbidden(backend: Backend) -> str:
    """Why it is no wonder that it fails."""
    nodes = _existing(backend.nodes)
    if not nodes or any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return ""
    group = Path(nodes[0]).stat().st_gid
    try:
        name = grp.getgrgid(group).gr_name
    except KeyError:
        name = str(group)
    return f"no permission for {nodes[0]}: the user of camfleet has to be in the group {name}"


def _existing(patterns: Iterable[str]) -> list[str]:
    return sorted(str(path) for pattern in patterns for path in Path("/").glob(pattern.removeprefix("/")))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
