"""How old a picture is when a client has decoded it: `make bench-glass`.

testlive burns the time of capture into each picture; FFmpeg's libraries play and decode the stream on the same machine,
and the text is read back. The time runs from the moment the picture was due to the moment its pixels are there:
painting, encoding, sealing, loopback, opening, decoding. FFmpeg knows that a frame is whole only when the next one
begins, so one frame time of the result, 33 ms at 30 fps, is the client's wait and not the server's.
"""

import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import av
import numpy as np

from .ocr import read_lines, text_box
from .servers import PASSWORD, USER, free_port, serving

WARM_UP_FRAMES = 90  # what waited while the client looked at the stream comes in one rush
FRAMES = 300
CAMERA = """
[[cameras]]
id = "ipc1"
[[cameras.streams]]
id = "stream1"
source = { kind = "testlive" }
video = { width = 1280, height = 720, fps = 30, bitrate = "2M" }
"""


def ages_ms(url: str, frames: int) -> list[float]:
    """Of so many pictures, in the order of their coming."""
    seen = []
    with av.open(url, options={"rtsp_transport": "tcp"}) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads by frame hold as many frames back
        rows, columns, scale = text_box(stream.width, stream.height)
        for number, picture in enumerate(container.decode(stream)):
            decoded_s = time.time()
            if number >= WARM_UP_FRAMES + frames:
                break
            if number >= WARM_UP_FRAMES:
                seen.append((decoded_s, np.array(picture.to_ndarray()[rows, columns], np.uint8)))
    return [(decoded_s - _clock_s(read_lines(text, scale)[1])) * 1000 for decoded_s, text in seen]


def _clock_s(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").astimezone().timestamp()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        ports = free_port(), free_port()
        with serving(Path(name), CAMERA, ports):
            for scheme, port in zip(("rtsp", "rtsps"), ports, strict=True):
                ages = ages_ms(f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/ipc1-stream1/testlive", FRAMES)
                p99 = statistics.quantiles(ages, n=100)[98]
                print(f"{scheme}: glass to glass p50 {statistics.median(ages):.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
