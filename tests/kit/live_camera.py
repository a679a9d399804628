"""The sessions of a camera with a fake engine, fake pipelines and virtual time."""

import base64
import os
import re
from collections.abc import Sequence
from typing import Any, cast

from camfleet.core.net.fanout import FanOut, Ready, Received
from camfleet.core.ring.stream import MediaStream
from camfleet.core.rtsp import Parameters
from camfleet.core.wire import WIRE_VERSION, CameraSpec, HandoffRecord, StreamSpec, TestLive, UserSpec, VideoSpec
from camfleet.core.wire.control import Adopt, Configure, HandBack, Message, TLSInfo, decode, encode
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.workers.adopt import Handoff
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.session import LiveStream, Registry, Streams
from msgspec.structs import replace

from tests.kit.fakes import FakeEngine, FakeMedia, FakePipeline
from tests.kit.rtsp import user
from tests.kit.supervisor import connection

S = 1_000_000_000
URL = "rtsps://192.0.2.7:8322/ipc1-stream1/testlive"
TLS = TLSInfo(version="TLSv1.3", suite="TLS_AES_128_GCM_SHA256", certificate_fingerprint="ab" * 32)


def request(method: str, url: str = URL, *headers: str, cseq: int = 1, login: str = "viewer:secret") -> bytes:
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {cseq}", *headers]
    if login:
        lines.append(f"Authorization: Basic {base64.b64encode(login.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


TRANSPORT = "RTP/AVP/TCP;unicast;interleaved=0-1"


class Camera:
    """A Registry between a fake engine and fake pipelines; `now_ns` is the time."""

    def __init__(self, max_sessions: int = 1000) -> None:
        self.now_ns = 1000 * S
        self.engine = FakeEngine()
        self.pipelines: dict[str, FakePipeline] = {}
        self.media: dict[str, FakeMedia] = {}
        self.news: list[Message] = []
        self.handed_back: list[tuple[HandBack, HandoffRecord, int]] = []
        self.taken_down: list[str] = []
        self.order = Configure(
            version=WIRE_VERSION,
            camera=CameraSpec(
                id="ipc1",
                name="Lobby",
                max_sessions=max_sessions,
                streams=tuple(
                    StreamSpec(id=name, source=TestLive(), video=VideoSpec()) for name in ("stream1", "stream2")
                ),
            ),
            users=[user("viewer", "secret"), user("other", "word")],
            nonce_key=b"k" * 32,
        )
        self.registry = Registry(
            self.order,
            cast(FanOut, self.engine),
            Streams(self._build, lambda stream: self.taken_down.append(stream.name)),
            self.now_ns,
            news=self.news.append,
            hand_back=lambda *arguments: self.handed_back.append(arguments),
        )

    def _build(self, spec: StreamSpec, camera_name: str, parameters: Parameters) -> LiveStream:
        name = f"{spec.id}?{parameters}" if parameters else spec.id
        self.pipelines[name], self.media[name] = FakePipeline(), FakeMedia(0xA0 + len(self.media) + 1)
        media, pipeline = cast(MediaStream, self.media[name]), cast(StreamPipeline, self.pipelines[name])
        return LiveStream(spec, camera_name, media, pipeline, lambda: 1_800_000_000.0, parameters)

    def configure(self, *, users: Sequence[UserSpec] | None = None, **camera: Any) -> list[tuple[Any, ...]]:
        """With this of the camera's settings changed; returns the commands to the engine."""
        self.order = replace(
            self.order,
            camera=replace(self.order.camera, **camera),
            users=self.order.users if users is None else list(users),
        )
        self.registry.configure(self.order, self.now_ns)
        return self.engine.take()

    def client(
        self,
        received: bytes = b"",
        handoff: int = 77,
        exported: bytes = b"exported",
        tls: TLSInfo | None = TLS,
    ) -> "Client":
        descriptor = os.open("/dev/null", os.O_RDONLY)
        os.close(descriptor)  # a number: the fake engine touches none
        adopt = decode(encode(Adopt(connection=connection(handoff, tls=tls), received=received)))  # nothing is shared
        assert isinstance(adopt, Adopt)
        record = HandoffRecord(HANDOFF_VERSION, handoff, exported, b"unread")
        before = set(self.engine.alive_ns)
        self.registry.adopt(Handoff(adopt.connection, adopt.received, record, descriptor), self.now_ns)
        (client,) = set(self.engine.alive_ns) - before
        return Client(self, client)


class Client:
    def __init__(self, camera: Camera, client: int) -> None:
        self.camera = camera
        self.id = client
        self._cseq = 100
        self.session = ""  # the header line

    def send(self, data: bytes) -> list[tuple[Any, ...]]:
        """Received by the engine; returns the commands to it."""
        self.camera.registry.dispatch([Received(self.id, data)], self.camera.now_ns)
        return self.camera.engine.take()

    def ask(self, method: str, url: str = URL, *headers: str, login: str = "viewer:secret") -> list[tuple[Any, ...]]:
        self._cseq += 1
        return self.send(request(method, url, *headers, cseq=self._cseq, login=login))

    def set_up(self, stream: str = "stream1") -> list[tuple[Any, ...]]:
        commands = self.ask("SETUP", f"rtsps://192.0.2.7/ipc1-{stream}/testlive/trackID=0", f"Transport: {TRANSPORT}")
        if statuses(commands) == [200]:
            self.session = session_of(commands)
        return commands

    def play(self) -> list[tuple[Any, ...]]:
        """SETUP, PLAY and Ready: the client plays."""
        self.set_up()
        commands = self.ask("PLAY", URL, self.session)
        assert commands[-1][0] == "prepare"
        return self.ready()

    def ready(
        self, sequence: int = 4711, rtp_timestamp: int = 90_000, preparation: int | None = None
    ) -> list[tuple[Any, ...]]:
        """To the last PLAY, if no other `preparation` is given."""
        preparation = preparation or self.camera.engine.preparations[self.id]
        self.camera.registry.dispatch([Ready(self.id, sequence, rtp_timestamp, preparation)], self.camera.now_ns)
        return self.camera.engine.take()


def statuses(commands: list[tuple[Any, ...]]) -> list[int]:
    """Of all replies among the commands, in order."""
    text = b"".join(command[2] for command in commands if command[0] in ("send", "play", "close") and len(command) > 2)
    return [int(status) for status in re.findall(rb"^RTSP/1.0 ([0-9]{3}) ", text, re.MULTILINE)]


def reply(commands: list[tuple[Any, ...]]) -> str:
    """The text of the only reply."""
    (text,) = [command[2] for command in commands if command[0] in ("send", "play") and command[2]]
    return cast(bytes, text).decode()


def session_of(commands: list[tuple[Any, ...]]) -> str:
    """The Session header line of the only reply, without the time-out."""
    match = re.search(r"Session: \w+", reply(commands))
    assert match is not None
    return match[0]
