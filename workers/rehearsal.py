"""A camera's whole life, from its first order to its last, in the fork server before the first fork.

What the interpreter and the libraries make of code as it runs (they rewrite it, PEP 659, and keep what they have looked
up) is then in memory that all workers share, and not in a copy of each. A real worker plays a film that nobody sees;
what supervisor and client would say is said here. All that was started has ended when it returns.
"""

import asyncio
import contextlib
import io
import os
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from types import CodeType, FrameType

from camfleet.core import log as logs
from camfleet.core.net import fdpass
from camfleet.core.wire import WIRE_VERSION, CameraSpec, FileLive, HandoffRecord, StreamSpec, UserSpec, control
from camfleet.core.wire.handoff import HANDOFF_VERSION

from . import lock
from .sources import write_tiny_film
from .worker import Worker

CAMERA = USER = "rehearsal"
URL = f"rtsp://192.0.2.1/{CAMERA}-stream1/filelive"
TICK_S = 0.005  # so that there are some
MEDIA_SIZE = 2000  # bytes that a client waits for: some frames


def rehearse(clients: int) -> None:
    """Play to so many clients, one after the other."""
    level = os.environ.get(logs.LEVEL_VARIABLE, "info")
    logs.configure(level, io.StringIO())
    try:
        with tempfile.TemporaryDirectory(prefix="camfleet-") as folder:
            asyncio.run(_live(Path(folder), clients))
    finally:
        logs.configure(level)


@contextlib.contextmanager
def watched() -> Iterator[dict[int, CodeType]]:
    """By its id, all code that runs inside, in this thread and in those that begin there."""
    ran: dict[int, CodeType] = {}

    def see(frame: FrameType, _event: str, _argument: object) -> None:
        ran[id(frame.f_code)] = frame.f_code

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield ran
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def _live(folder: Path, clients: int) -> None:
    film = folder / "film.mp4"
    write_tiny_film(film)
    descriptor = lock.take(folder / "lock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / "handoff.sock"))
        listener.listen()
        worker = Worker(CAMERA, folder, descriptor, tick_s=TICK_S)
        serving = asyncio.ensure_future(worker.serve())
        handoffs, _ = listener.accept()
    try:
        _order(worker, _settings(film))
        for number in range(clients):
            await _play(worker, handoffs, number)
    finally:
        _order(worker, control.Stop())
        await serving
        handoffs.close()
        if descriptor is not None:
            os.close(descriptor)


def _settings(film: Path) -> control.Configure:
    stream = StreamSpec(id="stream1", source=FileLive(str(film)), linger_s=0)
    return control.Configure(
        version=WIRE_VERSION,
        camera=CameraSpec(id=CAMERA, name=CAMERA, streams=(stream,)),
        users=[UserSpec(name=USER, ha1_md5=_md5(USER))],
        nonce_key=bytes(32),
    )


def _order(worker: Worker, message: control.Message) -> None:
    worker.obey(control.decode(control.encode(message)))


async def _play(worker: Worker, handoffs: socket.socket, number: int) -> None:
    """One client, from its hand-over to its goodbye."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            fdpass.send(handoffs, HandoffRecord(HANDOFF_VERSION, number, b""), theirs.fileno())
        client = _Client(ours)
        connection = control.Connection(handoff=number, peer=control.Endpoint("192.0.2.2", 40000))
        _order(worker, control.Adopt(connection=connection, received=client.request("DESCRIBE")))
        client.nonce = await client.receive(r'nonce="(\w+)"')
        await client.ask("DESCRIBE", r"(m=video)")
        client.session = await client.ask("SETUP", r"(Session: \w+)", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        await client.ask("PLAY", rf"RTSP/1.0 (200)[^$]+[\s\S]{{{MEDIA_SIZE}}}")
        _order(worker, control.Ping(id=number))
        _order(worker, control.StatsRequest(id=number))
        await client.ask("TEARDOWN", r"RTSP/1.0 (200)")


class _Client:
    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._requests = 0
        self.nonce = self.session = ""

    def request(self, method: str, *headers: str) -> bytes:
        """With a login as soon as the nonce is known."""
        self._requests += 1
        lines = [f"{method} {URL} RTSP/1.0", f"CSeq: {self._requests}", "User-Agent: rehearsal", *headers]
        if self.nonce:
            count = f"{self._requests:08x}"
            response = _md5(f"{_md5(USER)}:{self.nonce}:{count}:c:auth:{_md5(f'{method}:{URL}')}")
            lines.append(
                f'Authorization: Digest username="{USER}", realm="camfleet", nonce="{self.nonce}", uri="{URL}", '
                f'qop=auth, nc={count}, cnonce="c", response="{response}"'
            )
        if self.session:
            lines.append(self.session)
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(self, method: str, answer: str, *headers: str) -> str:
        await asyncio.get_running_loop().sock_sendall(self._sock, self.request(method, *headers))
        return await self.receive(answer)

    async def receive(self, pattern: str) -> str:
        """Until this has come; returns its group."""
        text = ""
        while (found := re.search(pattern, text)) is None:
            data = await asyncio.get_running_loop().sock_recv(self._sock, 65_536)
            if not data:
                raise ConnectionError(f"closed before {pattern} came, after {text[:500]}")
            text += data.decode("latin-1")
        return found[1]


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
