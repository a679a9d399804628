"""What a 1080p screen costs as a camera, and how old its pictures are: `make bench-screen`.

An Xvfb on which a program paints all the time, and the streams in this process, as a worker has them. CPU time of each
thread, per frame; the age of a picture is counted from before its grab to its hand-over to the encoder and to what the
encoder gives out.
"""

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame
from camfleet.core.video.bgrx import i420_from_bgrx
from camfleet.core.wire import ScreenLive, StreamSpec, VideoSpec
from camfleet.workers.pipeline import StreamPipeline
from camfleet.workers.sources.shared import Picture, SharedPictures
from camfleet.workers.sources.x11 import capture
from Xlib.display import Display

SECONDS = 15
WARM_UP_S = 3
FRAME_MS = 1000 / 30
MAIN = VideoSpec(width=1920, height=1080, fps=30, bitrate_bps=5_000_000, encoder="libx264")
SUB = VideoSpec(width=640, height=360, fps=15, bitrate_bps=500_000, encoder="libx264")
CASES = {
    "1080p30": [MAIN],
    "720p30": [VideoSpec(width=1280, height=720, fps=30, bitrate_bps=2_500_000, encoder="libx264")],
    "1080p30 and 360p15 of one grab": [MAIN, SUB],
}


class Sink:
    """Takes access units; knows of each picture that went into one how old it was."""

    codec = "h264"

    def __init__(self) -> None:
        self.handed_ms: list[float] = []
        self.encoded_ms: list[float] = []

    def push(self, _unit: Any, _capture_ns: int, now_ns: int) -> int:
        self.encoded_ms.append((now_ns - _captured_ns()) / 1e6)
        return 0

    def take_key_frame_request(self) -> bool:
        return False


_thread = threading.local()


def _captured_ns() -> int:
    return int(_thread.captured_ns)


def watch(sinks: dict[tuple[int, int], Sink], conversions: list[float]) -> None:
    """Note ages where pictures are handed over, and CPU time where they are converted."""
    pictures = SharedPictures.picture

    def noted(self: SharedPictures, _number: int, capture_ns: int) -> VideoFrame | None:
        frame = pictures(self, _number, capture_ns)
        newest = self._newest
        if isinstance(newest, Picture) and frame is not None:
            _thread.captured_ns = newest.capture_ns
            sinks[frame.width, frame.height].handed_ms.append((time.monotonic_ns() - newest.capture_ns) / 1e6)
        return frame

    def timed(*arguments: Any) -> None:
        start = time.thread_time()
        i420_from_bgrx(*arguments)
        conversions.append(1e3 * (time.thread_time() - start))

    vars(capture)["i420_from_bgrx"] = timed
    SharedPictures.picture = noted  # type: ignore[method-assign]  # a measurement


@contextmanager
def x_server() -> Iterator[tuple[str, int]]:
    """Its display and its pid."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1920x1080x24", "-nolisten", "tcp", "-noreset"]
    process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            yield f":{ready.readline().strip()}", process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def painted() -> Iterator[tuple[str, list[int]]]:
    """A display on which a program paints, and the pids of X server and program."""
    with x_server() as (display, server):
        painter = subprocess.Popen([sys.executable, "-m", __spec__.name, display])
        try:
            yield display, [server, painter.pid]
            if painter.poll() is not None:
                raise RuntimeError("nobody painted: what was measured is a picture that stands still")
        finally:
            painter.kill()
            painter.wait()


def paint(name: str) -> None:
    """A program's life: boxes as large as lines of text, 600 a second, anywhere."""
    display = Display(name)
    screen = display.screen()
    window = screen.root.create_window(0, 0, 1920, 1080, 0, screen.root_depth)
    window.map()
    context = window.create_gc()
    while True:
        for _ in range(20):
            context.change(foreground=random.randrange(2**24))
            window.fill_rectangle(context.id, random.randrange(1800), random.randrange(1060), 120, 16)
        display.sync()
        time.sleep(1 / 30)


def cpu_ms(thread: str | int) -> float:
    """User and system time of a thread of this process, or of another process (proc(5))."""
    path = Path(f"/proc/self/task/{thread}/stat" if isinstance(thread, str) else f"/proc/{thread}/stat")
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def measure(name: str, videos: list[VideoSpec], display: str, server: int, conversions: list[float]) -> str:
    source = ScreenLive(display=display)
    pipelines = [
        StreamPipeline(
            StreamSpec(id=f"stream{number}", source=source, video=video, linger_s=0.0),
            SINKS[video.width, video.height],
            title=f"{name} {number}",
            unix_offset_ns=0,
        )
        for number, video in enumerate(videos, 1)
    ]
    for pipeline in pipelines:
        pipeline.want()
    time.sleep(WARM_UP_S)
    threads = {thread.name: str(thread.native_id) for thread in threading.enumerate() if thread.name != "MainThread"}
    conversions.clear()
    for sink in SINKS.values():
        sink.handed_ms.clear()
        sink.encoded_ms.clear()
    before, server_before = {each: cpu_ms(thread) for each, thread in threads.items()}, cpu_ms(server)
    time.sleep(SECONDS)
    spent = {each: cpu_ms(thread) - before[each] for each, thread in threads.items()}
    server_ms = cpu_ms(server) - server_before
    grabs = len(conversions)
    main = SINKS[videos[0].width, videos[0].height]
    for pipeline in pipelines:
        pipeline.stop()
        pipeline.join(5.0)
    convert_ms = statistics.fmean(conversions)
    handed, encoded = (statistics.quantiles(ages, n=100) for ages in (main.handed_ms, main.encoded_ms))
    frames = len(main.handed_ms)
    cells = (
        name,
        f"{frames / SECONDS:.1f}",
        f"{grabs / SECONDS:.1f}",
        f"{spent['capture'] / grabs - convert_ms:.2f}",
        f"{convert_ms:.2f}",
        f"{(sum(spent.values()) - spent['capture']) / frames:.2f}",
        f"{sum(spent.values()) / 10 / SECONDS:.0f} %",
        f"{server_ms / grabs:.2f}",
        f"{handed[49]:.1f} / {handed[98]:.1f}",
        f"{100 * sum(age > FRAME_MS * 3 / 4 for age in main.handed_ms) / frames:.1f} %",
        f"{encoded[49]:.1f} / {encoded[98]:.1f}",
    )
    return f"| {' | '.join(cells)} |"


SINKS = {(video.width, video.height): Sink() for videos in CASES.values() for video in videos}
HEAD = """\
| streams | frames/s | grabs/s | CPU ms: a grab | its conversion | scaling and encoding, a frame | all, of a core | \
X server, a grab | age ms, handed over (p50 / p99) | a frame late | encoded |
|---|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    conversions: list[float] = []
    watch(SINKS, conversions)
    with painted() as (display, (server, _)):
        print(HEAD)
        for name, videos in CASES.items():
            print(measure(name, videos, display, server, conversions), flush=True)


if __name__ == "__main__":
    paint(sys.argv[1]) if len(sys.argv) > 1 else main()
