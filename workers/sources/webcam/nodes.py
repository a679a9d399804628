"""Which cameras there are, and what they offer: by sysfs and Video4Linux's own calls (linux/videodev2.h).

One camera often has several nodes, of which some give no pictures but data about them; all are called the same.
"""

import errno
import fcntl
import grp
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..base import SourceError

UNPLUGGED = "the camera is not connected"  # for everybody who watches
SYSFS, DEV = Path("/sys/class/video4linux"), Path("/dev")

VIDEO_CAPTURE, STREAMING, HAS_DEVICE_CAPS = 0x1, 0x0400_0000, 0x8000_0000
BUFFER_OF_CAPTURE = 1  # enum v4l2_buf_type
DISCRETE = 1  # enum v4l2_frmsizetypes
MAX_LISTED = 64  # formats, and sizes of one

CAPABILITY = struct.Struct("=16s32s32s3I12x")  # driver, card, bus, version, capabilities, those of this node
FORMAT = struct.Struct("=3I32sI16x")  # index, type, flags, description, pixelformat
BUFFER_TYPE = struct.Struct("=i")
FRAME_SIZE = struct.Struct("=9I8x")  # index, pixelformat, type; width, height, or from, to, step of both


def _request(direction: int, number: int, argument: struct.Struct) -> int:
    """As _IOR and _IOWR of asm-generic/ioctl.h."""
    return direction << 30 | argument.size << 16 | ord("V") << 8 | number


QUERYCAP = _request(2, 0, CAPABILITY)
ENUM_FMT = _request(3, 2, FORMAT)
ENUM_FRAMESIZES = _request(3, 74, FRAME_SIZE)
STREAMOFF = _request(1, 19, BUFFER_TYPE)

# Video4Linux's names and FFmpeg's, the better choice first: MJPEG comes in more sizes and at higher rates than what is
# raw, for which USB is too narrow; H.264 has lost more.
FORMATS = {
    "MJPG": "mjpeg",
    "JPEG": "mjpeg",
    "YUYV": "yuyv422",
    "UYVY": "uyvy422",
    "NV12": "nv12",
    "YU12": "yuv420p",
    "RGB3": "rgb24",
    "BGR3": "bgr24",
    "GREY": "gray",
    "H264": "h264",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and heights from, to, in steps; one size has no steps."""

    width: range
    height: range

    def __contains__(self, size: tuple[int, int]) -> bool:
        return size[0] in self.width and size[1] in self.height

    def __str__(self) -> str:
        if len(self.width) == len(self.height) == 1:
            return f"{self.width[0]}x{self.height[0]}"
        return f"{self.width[0]}x{self.height[0]} to {self.width[-1]}x{self.height[-1]}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A format, and the sizes that it comes in; none: the driver does not say."""

    format: str
    sizes: tuple[Sizes, ...]

    def has(self, width: int, height: int) -> bool:
        return not self.sizes or any((width, height) in sizes for sizes in self.sizes)

    def __str__(self) -> str:
        return " ".join([self.format, ", ".join(map(str, self.sizes))]).strip()


@dataclass(frozen=True, slots=True)
class Node:
    path: str
    name: str

    @property
    def title(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path


def nodes() -> list[Node]:
    """All of this machine, in the order of their numbers."""
    try:
        found = sorted(SYSFS.iterdir(), key=lambda entry: (len(entry.name), entry.name))
    except OSError:
        return []
    return [Node(str(DEV / entry.name), _name(entry)) for entry in found]


def candidates(device: str) -> list[Node]:
    """Those that the setting may mean. Raises SourceError when there are none."""
    known = nodes()
    if device.startswith("/"):
        path = os.path.realpath(device)
        if Path(path).exists():
            return [Node(device, next((node.name for node in known if node.path == path), ""))]
        raise SourceError(f"there is no {device}: {_present(known)}", shown=UNPLUGGED)
    found = [node for node in known if device in node.name]
    if not found:
        raise SourceError(f'no camera is called "{device}": {_present(known)}', shown=UNPLUGGED)
    return found


def offers(node: Node) -> list[Offer] | None:
    """What the camera can give, in formats that we know; empty: its driver does not say; None: it is none.

    Raises SourceError.
    """
    try:
        fd = os.open(node.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise refusal(node, error) from error
    try:
        if not _captures(fd):
            return None
        return [Offer(FORMATS[code], tuple(_sizes(fd, number))) for code, number in _formats(fd) if code in FORMATS]
    finally:
        os.close(fd)


def stop_streaming(fd: int) -> None:
    """Whoever waits for a picture, in any thread, waits no longer: the kernel answers him with EINVAL."""
    with suppress(OSError):  # it streams for somebody else (EBUSY), or was closed just now
        fcntl.ioctl(fd, STREAMOFF, BUFFER_TYPE.pack(BUFFER_OF_CAPTURE))


def refusal(node: Node, error: Exception) -> SourceError:
    """Why it cannot be opened or read, of an OSError or one of PyAV."""
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return SourceError(f"{node.title} is gone: was the camera unplugged?", shown=UNPLUGGED)
        case errno.EACCES | errno.EPERM:
            return SourceError(
                f"no permission to read {node.title}: make the server's user a member of the group {_group(node)} "
                f"(`usermod -aG {_group(node)} USER`), and start the server again"
            )
        case errno.EBUSY:
            return SourceError(
                f"{node.title} is busy: another program has it, or another stream of this server with other settings; "
                f"`fuser -v {node.path}` says which",
                shown="the camera is in use",
            )
        case errno.ENOSPC:  # of uvcvideo, to VIDIOC_STREAMON
            return SourceError(
                f"{node.title}: its USB bus has no room for these pictures beside those of other cameras: a smaller "
                'size, format = "mjpeg", or a port on another bus'
            )
        case errno.ETIMEDOUT:
            return SourceError(
                f"{node.title} gives no pictures, and is opened anew: if that goes on, plug it in again, or into "
                "another port, or ask for a smaller size",
                shown="the camera gives no pictures",
            )
    return SourceError(f"{node.title} cannot be read: {getattr(error, 'strerror', None) or error}")


def _captures(fd: int) -> bool:
    """Whether it is a camera that FFmpeg can read."""
    capability = bytearray(CAPABILITY.size)
    try:
        fcntl.ioctl(fd, QUERYCAP, capability)
    except OSError:  # ENOTTY: no device of Video4Linux at all
        return False
    *_, of_all, of_this = CAPABILITY.unpack(capability)
    capabilities = of_this if of_all & HAS_DEVICE_CAPS else of_all
    return bool(capabilities & VIDEO_CAPTURE and capabilities & STREAMING)


def _formats(fd: int) -> Iterator[tuple[str, int]]:
    for index in range(MAX_LISTED):
        found = bytearray(FORMAT.pack(index, BUFFER_OF_CAPTURE, 0, b"", 0))
        try:
            fcntl.ioctl(fd, ENUM_FMT, found)
        except OSError:  # EINVAL: that was all
            return
        number = FORMAT.unpack(found)[-1]
        yield number.to_bytes(4, "little").decode("latin-1"), number


def _sizes(fd: int, pixel_format: int) -> Iterator[Sizes]:
    for index in range(MAX_LISTED):
        found = bytearray(FRAME_SIZE.pack(index, pixel_format, *7 * [0]))
        try:
            fcntl.ioctl(fd, ENUM_FRAMESIZES, found)
        except OSError:
            return
        _, _, kind, *values = FRAME_SIZE.unpack(found)
        if kind == DISCRETE:
            width, height = values[:2]
            yield Sizes(range(width, width + 1), range(height, height + 1))
        else:  # all in one answer
            (first, last, step), (lowest, highest, rise) = values[:3], values[3:]
            yield Sizes(range(first, last + 1, max(1, step)), range(lowest, highest + 1, max(1, rise)))
            return


def _name(entry: Path) -> str:
    try:
        return (entry / "name").read_text(errors="replace").strip()
    except OSError:  # unplugged just now
        return ""


def _present(known: list[Node]) -> str:
    return f"there is {', '.join(node.title for node in known)}" if known else "this machine has no camera now"


def _group(node: Node) -> str:
    """Mostly "video"; to a node of root alone nobody but udev can give another one."""
    try:
        group = Path(node.path).stat().st_gid
        return grp.getgrgid(group).gr_name if group else "video"
    except (OSError, KeyError):
        return "video"
