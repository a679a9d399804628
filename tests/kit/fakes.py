"""An engine and a pipeline that only write down what is asked of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from camfleet.core.net.fanout import ReaderCounters
from camfleet.core.ring.stream import StreamCounters, StreamLatency
from camfleet.core.wire import StreamSpec
from camfleet.core.wire.succession import ReaderState
from camfleet.workers.codecs import Description

SPS = bytes.fromhex("6742c01f9a74028014f6")
PPS = bytes.fromhex("68ce0f2c80")


class FakeEngine:
    """FanOut's commands as tuples, in order; `consumed` apart, its reply as by `send`."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.parsed: dict[int, tuple[int, bool]] = {}
        self.alive_ns: dict[int, int] = {}
        self.preparations: dict[int, int] = {}
        self.adoptable = True
        self.limits: tuple[float, ...] = ()  # stall time-out, key update: records, spacing
        self.turns: list[int] = []  # commands of each `with` block
        self._ids: Iterator[int] = count(1)

    def __enter__(self) -> None:
        self.turns.append(-len(self.commands))

    def __exit__(self, *_: object) -> None:
        self.turns[-1] += len(self.commands)

    def adopt(
        self,
        descriptor: int,
        session: bytes = b"",
        unread: bytes = b"",
        in_text: bool = False,
        unsent: bytes = b"",
        state: ReaderState | None = None,
    ) -> int:
        if not self.adoptable:
            raise ValueError("the TLS session cannot be imported")
        client = next(self._ids)
        moved = () if state is None else (unsent, state)
        self.commands.append(("adopt", client, descriptor, session, unread, in_text, *moved))
        self.alive_ns[client] = 0
        self.preparations[client] = 0
        return client

    def prepare(self, client: int, *arguments: object) -> None:
        self.commands.append(("prepare", client, *arguments))
        self.preparations[client] += 1

    def consumed(self, client: int, total: int, at_boundary: bool, reply: bytes = b"") -> None:
        self.parsed[client] = total, at_boundary
        if reply:
            self.commands.append(("send", client, reply))

    def __getattr__(self, name: str) -> Any:
        if name not in {"send", "play", "go_on", "record", "pause", "end", "close", "release", "move", "stop"}:
            raise AttributeError(name)
        return lambda *arguments: self.commands.append((name, *arguments))

    def set_limits(self, *limits: float) -> None:
        self.limits = limits

    def take(self) -> list[tuple[Any, ...]]:
        """The commands since the last call."""
        taken, self.commands = self.commands, []
        return taken

    def readers(self) -> Iterator[ReaderCounters]:
        for client, last_received_ns in self.alive_ns.items():
            yield ReaderCounters(client, 1000, 10, 1, 100, True, 0, last_received_ns, lag_ns=0, key_updates=0)


class FakeMedia:
    """A MediaStream that is only counted."""

    def __init__(self, ssrc: int = 0x0A0B0C0D) -> None:
        self.ssrc = ssrc
        self.payload_type = 96
        self.join = "force"
        self.codec = "h264"
        self.frames = 0
        self.bytes = 0

    def counters(self) -> StreamCounters:
        return StreamCounters(self.frames, self.frames // 30, self.bytes, self.frames, 0, 0, 0, 0)

    def latency(self, _now_ns: int) -> StreamLatency:
        return StreamLatency(p50_ns=262_144, p99_ns=12_500_000)


@dataclass
class FakePipeline:
    description: Description | None = field(
        default_factory=lambda: Description(width=1280, height=720, fps=30, parameter_sets=(SPS, PPS))
    )
    state: str = "idle"
    encoder: str = "libx264"
    wanted: int = 0
    orders: list[StreamSpec] = field(default_factory=list)
    stopped: bool = False
    camera_name: str = ""

    def reconfigure(self, stream: StreamSpec, camera_name: str) -> None:
        self.orders.append(stream)
        self.camera_name = camera_name

    def stop(self) -> None:
        self.stopped = True

    def want(self) -> None:
        self.wanted += 1

    def unwant(self) -> None:
        self.wanted -= 1
