"""A stream that shows a camera elsewhere, whose settings change: the connection stays, and so does the picture."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from camfleet.core.wire import RTSPLive, StreamSpec, VideoSpec
from camfleet.workers.pipeline import StreamPipeline
from msgspec.structs import replace

from tests.kit.clips import decode, write_clip
from tests.kit.played_feed import Sink
from tests.kit.upstream import Peer, Upstream, framed, packets, play
from tests.kit.wait import wait_for

GOP, FPS = 250, 25
TIMEOUT_S = 20.0


class Camera:
    """Has a key frame every ten seconds, or when the test or (`listens`) the client says."""

    def __init__(self, film: Path, *, listens: bool = False) -> None:
        with av.open(str(film)) as container:
            units = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        self._groups = [units[first : first + GOP] for first in range(0, len(units), GOP)]
        self.key_frame_wanted = threading.Event()
        self.silent = threading.Event()
        self._listens = listens

    def __call__(self, peer: Peer) -> None:
        play(peer)
        began = time.monotonic()
        for number, unit in enumerate(packets(self._units())):
            peer.send(b"".join(map(framed, unit)))
            peer.wait(max(0.0, began + (number + 1) / FPS - time.monotonic()))
            while self.silent.is_set():
                peer.wait(0.01)
            if self._listens and peer.key_frames_wanted():
                self.key_frame_wanted.set()

    def _units(self) -> Iterator[bytes]:
        for number in range(1000):
            for unit in self._groups[number % len(self._groups)]:
                yield unit
                if self.key_frame_wanted.is_set():
                    self.key_frame_wanted.clear()
                    break


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "film.ts", pictures=2 * GOP, gop=GOP, fps=FPS, size=(64, 64))


class Stage:
    def __init__(self, url: str, video: VideoSpec | None) -> None:
        self.sink = Sink()
        self.states: list[str] = []
        self.spec = StreamSpec(id="stream1", source=RTSPLive(url=url), video=video)
        self.pipeline: StreamPipeline = StreamPipeline(
            self.spec,
            self.sink,
            title="ipc1-stream1",
            unix_offset_ns=0,
            changed=lambda: self.states.append(self.pipeline.state),
        )

    def change(self, video: VideoSpec | None) -> None:
        self.spec = replace(self.spec, video=video)
        self.pipeline.reconfigure(self.spec, "")

    def until(self, condition: Callable[[], object], why: str) -> None:
        wait_for(condition, TIMEOUT_S, lambda: f"not {why}; {self.states}")

    def until_more(self, count: int = 10) -> None:
        before = len(self.sink.pushed)
        self.until(lambda: len(self.sink.pushed) >= before + count, "more pictures")

    def until_seen(self, width: int, fps: float | None = None, encoder: str = "libx264") -> None:
        def is_seen() -> bool:
            found = self.pipeline.description
            return (
                self.pipeline.state == "running"
                and found is not None
                and self.pipeline.encoder == encoder
                and (found.width, fps or found.fps) == (width, found.fps)
            )

        self.until(is_seen, f"{width} pixels wide, {fps} fps by {encoder}")
        self.until_more()


def test_the_connection_and_the_picture_stay_when_settings_change(film: Path) -> None:
    """Another connection would begin with the camera's next key frame, and readers see the slate till then."""
    camera = Camera(film)
    video = VideoSpec(width=96, height=96, fps=25, gop=1000, encoder="x264")
    with Upstream(camera) as upstream:
        stage = Stage(upstream.url, video)
        stage.pipeline.want()
        stage.until_seen(96)
        stage.change(replace(video, fps=20))
        stage.until_seen(96, 20)
        stage.change(replace(video, width=128))
        stage.until_seen(128)

        stage.change(None)
        stage.until_more()  # re-encoded as before, until the camera has a key frame
        camera.key_frame_wanted.set()
        stage.until_seen(64, encoder="pass-through")
        stage.change(video)
        stage.until_more()
        camera.key_frame_wanted.set()
        stage.until_seen(96)

        stage.pipeline.stop()
        assert stage.pipeline.join(TIMEOUT_S)
        assert len(upstream.peers) == 1
        assert not [state for state in stage.states if state.startswith("standby")]
        times = [capture_ns for _, capture_ns, _ in stage.sink.pushed]
        assert times == sorted(set(times))
        widths = [picture.width for picture in decode([unit for unit, _, _ in stage.sink.pushed])]
        assert [width for n, width in enumerate(widths) if n == 0 or widths[n - 1] != width] == [96, 128, 64, 96]


def test_after_a_silence_without_a_loss_the_picture_does_not_wait_for_the_camera_s_next_key_frame(film: Path) -> None:
    camera = Camera(film, listens=True)
    with Upstream(camera) as upstream:
        stage = Stage(upstream.url, None)
        stage.pipeline.want()
        stage.until_seen(64, encoder="pass-through")
        camera.silent.set()
        stage.until(lambda: stage.pipeline.state.startswith("standby"), "the slate")
        camera.silent.clear()
        assert wait_for(lambda: stage.pipeline.state == "running", TIMEOUT_S) < 1
        stage.pipeline.stop()
        assert stage.pipeline.join(TIMEOUT_S)
        assert len(upstream.peers) == 1
