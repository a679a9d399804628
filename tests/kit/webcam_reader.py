"""Reads cameras as a worker does, and says what it sees; with v4l2_camera.c preloaded there are some.

usage: FOLDER SOURCE ...     FOLDER has `sysfs` and `dev`, a SOURCE is a Webcam as JSON. Ends with its input.
"""

import contextlib
import sys
import threading
import time
from pathlib import Path

import msgspec
from camfleet.core.wire import Webcam
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.shared import Absence, Picture
from camfleet.workers.sources.webcam import nodes
from camfleet.workers.sources.webcam.capture import WebcamCapture
from camfleet.workers.sources.webcam.device import open_camera


def read(number: int, source: Webcam) -> None:
    shown: Picture | Absence
    while True:
        try:
            with contextlib.closing(WebcamCapture(source, open_camera, lambda _: 0)) as capture:
                shown = Absence("")
                while True:
                    before, shown = shown, capture.read()
                    if shown is not before and isinstance(shown, Picture):
                        height, width = shown.samples.shape[0] * 2 // 3, shown.samples.shape[1]
                        print(f"{number}: {width}x{height} {shown.samples[:height].mean():.0f}", flush=True)
        except SourceError as error:
            print(f"{number}: {error}", flush=True)
        time.sleep(0.05)  # it is tried again, as by a worker: nothing says when a camera is there


if __name__ == "__main__":
    nodes.SYSFS, nodes.DEV = Path(sys.argv[1]) / "sysfs", Path(sys.argv[1]) / "dev"
    for number, argument in enumerate(sys.argv[2:]):
        source = msgspec.json.decode(argument, type=Webcam)
        threading.Thread(target=read, args=(number, source), daemon=True).start()
    sys.stdin.read()
