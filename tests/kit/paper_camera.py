"""A camera of Video4Linux that is made of FIFOs (v4l2_camera.c), for FFmpeg's own input and our calls beside it."""

import contextlib
import fcntl
import os
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

from av import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

UNPLUGGED, DAMAGED = 0xFFFFFFFF, 0xFFFFFFFE  # as in v4l2_camera.c


def compile_driver(folder: Path) -> Path:
    """What has to be preloaded into the processes that read the camera."""
    library = folder / "v4l2_camera.so"
    source = str(Path(__file__).with_name("v4l2_camera.c"))
    subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", str(library), "-ldl"], check=True)
    return library


class PaperCamera:
    """Two nodes, the second of which gives no pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "dev" / "video0"
        (folder / "dev").mkdir()
        (folder / "sysfs").mkdir()
        self.fd = -1
        self.plug_in()

    def plug_in(self) -> None:
        for name in ("video0", "video1"):
            os.mkfifo(self.folder / "dev" / name)
            (self.folder / "sysfs" / name).mkdir()
            (self.folder / "sysfs" / name / "name").write_text("Paper Camera: Paper\n")
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 1 << 20)

    def unplug(self) -> None:
        self.give(UNPLUGGED)
        os.close(self.fd)
        for name in ("video0", "video1"):
            (self.folder / "dev" / name).unlink()
            (self.folder / "sysfs" / name / "name").unlink()
            (self.folder / "sysfs" / name).rmdir()

    def give(self, length: int, picture: bytes = b"") -> None:
        os.write(self.fd, struct.pack("=I", length) + picture)

    def show(self, picture: bytes) -> None:
        self.give(len(picture), picture)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)


def jpeg(luma: int, width: int = 320, height: int = 240) -> bytes:
    encoder = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj422p"
    encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
    frame = VideoFrame(width, height, "yuvj422p")
    for plane, level in zip(frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
