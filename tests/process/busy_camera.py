"""A camera's media path in one process, beside an endless loop of Python in a `thread` of it or in a `process`.

Prints the port of its listener; the first client gets frames without asking.
"""

import math
import multiprocessing
import os
import select
import socket
import sys
import threading

from camfleet.core.net.fanout import FanOut, Ready
from camfleet.core.ring.stream import MediaStream
from camfleet.core.wire import StreamSpec, TestLive, VideoSpec
from camfleet.workers import preload
from camfleet.workers.pipeline import StreamPipeline


def spin(camera: int) -> None:
    """For as long as the camera's process lives; as a process of its own this one has that for a parent."""
    while camera in (os.getpid(), os.getppid()):
        pass


def main(beside: str) -> None:
    preload.preload(None)
    assert math.isclose(sys.getswitchinterval(), preload.SWITCH_INTERVAL_S), "what a worker is forked from"
    engine = FanOut()
    stream = MediaStream(ntp_offset_ns=0, cname=b"busy", timestamp=0)
    engine.add_stream(stream)
    threading.Thread(target=engine.run, daemon=True).start()
    spec = StreamSpec(id="stream1", source=TestLive(), video=VideoSpec(width=640, height=360, fps=30))
    pipeline = StreamPipeline(spec, stream, title="busy", unix_offset_ns=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
    client = engine.adopt(connection.detach())
    pipeline.want()
    engine.prepare(client, stream, 0, 1)
    while not any(isinstance(event, Ready) for event in engine.events()):
        select.select([engine.event_fd], [], [])
    if beside == "thread":
        threading.Thread(target=spin, args=(os.getpid(),), daemon=True).start()
    else:
        multiprocessing.get_context("spawn").Process(target=spin, args=(os.getpid(),), daemon=True).start()
    engine.play(client, b"RTSP/1.0 200 OK\r\n\r\n")
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
