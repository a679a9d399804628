"""The film that every server sends: 20 s of 1080p30 H.264 with 4 Mb/s."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from camfleet.workers.sources.filelive import FilePassThrough

FPS = 30
FRAMES = 600
BITRATE_BPS = 4_000_000
SIZE = 1920, 1080


def make(path: Path, bitrate_bps: int = BITRATE_BPS) -> None:
    """Noise that x264 cannot make smaller than it is told to."""
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", bitrate_bps
        stream.gop_size, stream.time_base = 2 * FPS, Fraction(1, FPS)
        rate = {"maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps // 2)}
        fill = {"x264-params": "nal-hrd=cbr:scenecut=0"}
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", **rate, **fill}
        for number in range(FRAMES):
            picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
            top = number * 7 % 1000
            picture[top : top + 64] = random.integers(16, 235, (64, SIZE[0]), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def access_units(path: Path) -> list[bytes]:
    """One pass of the film as camfleet sends it, Annex B."""
    source = FilePassThrough(str(path), 0)
    units: list[bytes] = []
    while len(units) < FRAMES:
        units += [bytes(unit.data) for unit in source.read(source.due_ns, False)]
    source.close()
    return units[:FRAMES]


def repeat(path: Path, longer: Path, passes: int) -> None:
    """The film so many times over in one file that can be read from a pipe, for a server that has no loop."""
    with av.open(str(longer), "w", options={"movflags": "faststart"}) as output:
        track, count = None, 0
        for _ in range(passes):
            with av.open(str(path)) as film:
                source = film.streams.video[0]
                track = track or output.add_stream_from_template(source)
                for packet in film.demux(source):
                    if packet.size:
                        packet.stream, packet.time_base = track, Fraction(1, FPS)
                        packet.pts, packet.dts, packet.duration = count, count, 1
                        output.mux(packet)
                        count += 1
