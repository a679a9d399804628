"""What pipelines are told of the camera's other streams: before they have to know it."""

from collections.abc import Collection
from typing import cast

from camfleet.core.rtsp import Parameters
from camfleet.core.wire import CameraSpec, FileLive, StreamSpec, TestLive, VideoSpec
from camfleet.workers.session import LiveStream, Streams

FILM, OTHER = FileLive("/film.mp4"), FileLive("/other.mp4")
VIDEO = VideoSpec(width=640, height=360)
SMALL = Parameters.parse("w=320")


class Stream:
    def __init__(self, told: "Told", spec: StreamSpec, parameters: Parameters) -> None:
        self.pipeline = self  # has no description
        self.description = None
        self.parameters = parameters
        self.name = f"{spec.id}?{parameters}"
        self.rests = False
        self._told = told
        self.configure(spec, "")

    def configure(self, spec: StreamSpec, _camera_name: str) -> None:
        """Its pipeline may open the source now."""
        self.spec = spec
        self._told.check(spec)

    def tick(self, _now_ns: int) -> None: ...


class Told:
    def __init__(self) -> None:
        self.streams = Streams(
            lambda spec, _, parameters: cast(LiveStream, Stream(self, spec, parameters)), lambda _: 0
        )
        self.expected: set[tuple[bool, bool]] = set()  # of FILM

    def configure(self, *streams: StreamSpec) -> None:
        self.streams.configure(CameraSpec(id="ipc1", name="Lobby", streams=streams, max_variants=2))

    def check(self, spec: StreamSpec) -> None:
        lineup = self.streams.lineup
        assert spec in lineup.streams
        self.expected.add((lineup.is_shared(FILM), lineup.passes_through(FILM)))

    def take(self) -> set[tuple[bool, bool]]:
        """Whether the film was for several, and passed through, whenever a pipeline may have asked."""
        expected, self.expected = self.expected, set()
        return expected


def stream(number: int, source: FileLive | TestLive, video: VideoSpec | None = None) -> StreamSpec:
    return StreamSpec(id=f"stream{number}", source=source, video=video)


def test_streams_as_configured() -> None:
    told = Told()
    told.configure(stream(1, FILM), stream(2, TestLive()))
    assert told.take() == {(False, True)}
    told.configure(stream(1, FILM), stream(2, FILM, VIDEO))
    assert told.take() == {(True, True)}
    told.configure(stream(1, FILM, VIDEO), stream(2, FILM, VIDEO))
    assert told.take() == {(True, False)}
    told.configure(stream(1, OTHER), stream(2, FILM))
    assert told.take() == {(False, True)}
    told.configure(stream(1, OTHER))
    assert told.take() == {(False, False)}


def test_variants() -> None:
    told = Told()
    told.configure(stream(1, FILM))
    told.take()
    nobody: Collection[LiveStream] = ()
    variant = told.streams.find("stream1", SMALL, lambda: nobody)
    assert told.take() == {(True, True)}
    told.configure(stream(1, OTHER))
    assert told.take() == {(False, False)}
    told.configure(stream(1, FILM))
    assert told.take() == {(True, True)}
    cast(Stream, variant).rests = True
    told.streams.tick(0, lambda: nobody)
    assert not told.streams.lineup.is_shared(FILM)
    assert told.streams.named("stream1?w=320") is not None
    assert told.take() == {(True, True)}
