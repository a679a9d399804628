"""A real worker process with a fake supervisor, and an RTSP client on a socket."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from camfleet.core.tls.session import Session, record_size
from camfleet.core.wire import WIRE_VERSION, CameraSpec, StreamSpec, TestLive, UserSpec, VideoSpec
from camfleet.core.wire.control import Adopted, Configure, Hello

from tests.kit.engine import tcp_pair
from tests.kit.interleaved import Element, InterleavedReader, RTPPacket
from tests.kit.rtsp import NONCE_KEY, USERS, Reply, digest, nonce_of, parse_replies, request
from tests.kit.supervisor import TIMEOUT_S, FakeSupervisor, connection
from tests.kit.wait import wait_for

URL = "rtsp://127.0.0.1:8554/ipc1-stream1/testlive"
CAMERA = CameraSpec(
    id="ipc1",
    name="Lobby",
    streams=(
        StreamSpec(
            id="stream1",
            source=TestLive(),
            video=VideoSpec(width=160, height=96, fps=20, bitrate_bps=100_000, gop=20),
            linger_s=0.2,
        ),
    ),
)


def configure(
    camera: CameraSpec = CAMERA, users: Sequence[UserSpec] = USERS, orphan_timeout_s: float = 60.0
) -> Configure:
    return Configure(
        version=WIRE_VERSION,
        camera=camera,
        users=list(users),
        nonce_key=NONCE_KEY,
        orphan_timeout_s=orphan_timeout_s,
    )


# A worker is not dumpable, so only root may look into its /proc: it looks itself when it gets SIGUSR1.
PROBE = """
import ctypes, os, signal
def probe(*_):
    memory = dict(line.split()[:2] for line in list(open("/proc/self/smaps_rollup"))[1:])
    descriptors, dumpable = len(os.listdir("/proc/self/fd")), ctypes.CDLL(None).prctl(3)
    with open(f"{run_dir}/{os.getpid()}.new", "w") as answer:
        answer.write(f"{descriptors} {memory['Pss:']} {memory['Anonymous:']} {dumpable}")
    os.rename(f"{run_dir}/{os.getpid()}.new", f"{run_dir}/{os.getpid()}.probe")
signal.signal(signal.SIGUSR1, probe)
"""


class Probed(NamedTuple):
    descriptors: int  # one of them is the look itself
    pss_kib: int
    anonymous_kib: int  # no matter who shares it
    dumpable: int  # PR_GET_DUMPABLE


def probe(pid: int, run_dir: Path) -> Probed:
    """Of a worker that runs PROBE."""
    path = run_dir / f"{pid}.probe"
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    wait_for(path.exists, TIMEOUT_S, "no answer of the probe")
    return Probed(*(int(number) for number in path.read_text().split()))


class WorkerProcess:
    """Started without the fork server; its log is in `log`."""

    def __init__(
        self, run_dir: Path, setup: str = "", pass_fds: Sequence[int] = (), *, successor: bool = False
    ) -> None:
        """`setup`: statements to run before `worker.main`; they know `run_dir`."""
        self._log_path = run_dir / f"worker-{time.monotonic_ns()}.log"
        program = (
            f"run_dir = {str(run_dir)!r}\nfrom camfleet.workers import forkserver, worker\n"
            f"forkserver.prepare()\n{setup}\nworker.main('ipc1', run_dir, {os.getpid() if successor else None})"
        )
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], stderr=log, stdin=subprocess.DEVNULL, pass_fds=pass_fds
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float = 2 * TIMEOUT_S) -> int:
        """The exit code."""
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        if self.running():
            self.signal(signal.SIGKILL)
        self._process.wait()


def start(supervisor: FakeSupervisor, worker: WorkerProcess, order: Configure | None = None) -> Hello:
    """Take the worker's first Hello and configure it; returns the Hello."""
    hello = supervisor.expect(Hello, timeout_s=6 * TIMEOUT_S)  # a cold start imports PyAV
    assert hello.pid == worker.pid
    assert supervisor.accept() == hello.camera
    supervisor.send(order or configure())
    return hello


class Player:
    """A client on a TCP connection, with an optional TLS session of its own after the handshake that never was."""

    def __init__(self, sock: socket.socket, tls: Session | None = None, url: str = URL) -> None:
        self.sock = sock
        self.url = url
        self.elements: list[Element] = []
        self._tls = tls
        self._reader = InterleavedReader()
        self._records = b""
        self.nonce = ""
        self._session = ""
        self._cseq = 0

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(self._tls.seal(data, time.monotonic_ns()) if self._tls else data)

    def read(self) -> bool:
        """One recv into `elements`; False at the end of the connection."""
        data = self.sock.recv(65_536)
        if not data:
            return False
        if self._tls is not None:
            self._records += data
            data = b""
            while (size := record_size(self._records)) and size <= len(self._records):
                data += self._tls.receive(self._records[:size], time.monotonic_ns()) or b""
                self._records = self._records[size:]
        self.elements += self._reader.feed(data)
        return True

    def read_until(self, enough: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 2 * TIMEOUT_S
        while not enough():
            assert time.monotonic() < deadline, f"no {what}; the last elements are {self.elements[-3:]}"
            assert self.read(), f"closed before {what}"

    def read_to_end(self, timeout_s: float = TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while self.read():
            assert time.monotonic() < deadline, f"the connection goes on after {timeout_s} s"

    @property
    def packets(self) -> list[RTPPacket]:
        return [element for element in self.elements if isinstance(element, RTPPacket)]

    def texts(self) -> list[bytes]:
        return [element for element in self.elements if isinstance(element, bytes)]

    def reply(self) -> Reply:
        """The next reply; it is taken out of `elements`."""
        self.read_until(self.texts, "reply")
        text = self.texts()[0]
        self.elements.remove(text)
        (reply,) = parse_replies(text)
        return reply

    def first_request(self) -> bytes:
        """What the supervisor would have read."""
        self._cseq += 1
        return request("DESCRIBE", self.url, cseq=self._cseq)

    def log_in(self) -> None:
        """Read the answer to `first_request`."""
        reply = self.reply()
        assert reply.status == 401
        self.nonce = nonce_of(reply)

    def ask(self, method: str, url: str = "", *fields: str) -> Reply:
        self._cseq += 1
        url = url or self.url
        session = [self._session] if self._session else []
        self.send(request(method, url, digest(method, url, self.nonce), *session, *fields, cseq=self._cseq))
        reply = self.reply()
        assert reply.cseq == str(self._cseq)
        if method == "SETUP" and reply.status == 200:
            self._session = "Session: " + reply.headers["session"].partition(";")[0]
        return reply

    def play(self) -> Reply:
        """DESCRIBE to PLAY; returns the answer to PLAY."""
        described = self.ask("DESCRIBE")
        assert described.status == 200, described
        assert b"sprop-parameter-sets=" in described.body
        setup = self.ask("SETUP", self.url + "/trackID=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        assert setup.status == 200, setup
        play = self.ask("PLAY")
        assert play.status == 200, play
        return play

    def read_packets(self, count: int) -> None:
        """So many more RTP packets."""
        wanted = len(self.packets) + count
        self.read_until(lambda: len(self.packets) >= wanted, "RTP packets")


def tls_pair(suite: int = 0x1301) -> tuple[Session, Session]:
    """Both ends of a TLS 1.3 connection after a handshake that never was."""
    ours, theirs = secrets.token_bytes(32), secrets.token_bytes(32)
    return (
        Session.from_secrets(version=0x0304, suite=suite, sending_secret=ours, receiving_secret=theirs),
        Session.from_secrets(version=0x0304, suite=suite, sending_secret=theirs, receiving_secret=ours),
    )


def adopted(supervisor: FakeSupervisor, handoff: int = 1) -> Player:
    """A plain connection in the worker's hands, logged in."""
    server, client = tcp_pair()
    player = Player(client)
    with server:
        supervisor.hand_over(connection(handoff), player.first_request(), server.fileno())
    assert supervisor.expect(Adopted).handoff == handoff
    player.log_in()
    return player
