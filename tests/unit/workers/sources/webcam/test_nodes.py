"""What a camera is asked for, and what is said when it cannot be had."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import pytest
from camfleet.core.wire import Webcam
from camfleet.workers.encoders.errors import PYAV_ERRORS
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.webcam import device, nodes
from camfleet.workers.sources.webcam.device import open_camera, options
from camfleet.workers.sources.webcam.nodes import (
    CAPABILITY,
    HAS_DEVICE_CAPS,
    QUERYCAP,
    STREAMING,
    VIDEO_CAPTURE,
    Node,
    Offer,
    Sizes,
    candidates,
    offers,
    refusal,
)

from tests.kit.clips import write_clip
from tests.kit.descriptors import descriptors

NODE = Node("/dev/video0", "C920")
ABSENT = "/dev/video77"
NOBODY = 65534


def one(width: int, height: int) -> Sizes:
    return Sizes(range(width, width + 1), range(height, height + 1))


YUYV = Offer("yuyv422", (one(640, 480), one(1280, 720)))
MJPEG = Offer("mjpeg", (one(640, 480), one(800, 600), one(1920, 1080)))
ANY = Offer("nv12", (Sizes(range(32, 4097, 16), range(32, 2161, 8)),))
UNKNOWN = Offer("uyvy422", ())
c920 = partial(Webcam, device="C920")


@pytest.mark.parametrize(
    ("source", "offered", "chosen"),
    [
        (c920(), [YUYV, MJPEG], {"input_format": "mjpeg", "video_size": "800x600"}),
        (c920(format="yuyv422"), [YUYV, MJPEG], {"input_format": "yuyv422", "video_size": "1280x720"}),
        (c920(width=1280, height=720), [YUYV, MJPEG], {"input_format": "yuyv422", "video_size": "1280x720"}),
        (
            c920(width=640, height=480, fps=15),
            [YUYV, MJPEG],
            {"input_format": "mjpeg", "video_size": "640x480", "framerate": "15"},
        ),
        (c920(), [ANY], {"input_format": "nv12", "video_size": "1280x720"}),
        (c920(width=4096, height=2160), [ANY], {"input_format": "nv12", "video_size": "4096x2160"}),
        (c920(), [UNKNOWN], {"input_format": "uyvy422"}),
        (c920(), [], {}),
        (c920(format="h264", width=640, height=480), [], {"input_format": "h264", "video_size": "640x480"}),
    ],
)
def test_what_is_chosen(source: Webcam, offered: list[Offer], chosen: dict[str, str]) -> None:
    assert options(source, NODE, offered) == chosen


def test_what_is_not_offered() -> None:
    with pytest.raises(SourceError) as error:
        options(c920(width=1281, height=720), NODE, [YUYV, ANY])
    assert str(error.value) == (
        "/dev/video0 (C920) does not offer 1281x720, but yuyv422 640x480, 1280x720; nv12 32x32 to 4096x2160"
    )


def test_devices_that_are_not_there() -> None:
    """The kernel and FFmpeg are asked."""
    assert not Path(ABSENT).exists()
    with pytest.raises(SourceError, match=f"there is no {ABSENT}: "):
        open_camera(Webcam(device=ABSENT))
    with pytest.raises(SourceError, match=f"{ABSENT} is gone"):
        offers(Node(ABSENT, ""))
    with pytest.raises(PYAV_ERRORS) as error:
        av.open(ABSENT, format="v4l2")
    assert f"{ABSENT} is gone" in str(refusal(Node(ABSENT, ""), error.value))


def test_a_machine_without_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "SYSFS", tmp_path / "none")
    with pytest.raises(SourceError, match='no camera is called "C920": this machine has no camera now'):
        open_camera(c920())


def test_a_camera_by_a_link_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those in /dev/v4l/by-id."""
    monkeypatch.setattr(nodes, "SYSFS", tmp_path / "sysfs")
    monkeypatch.setattr(nodes, "DEV", tmp_path)
    (tmp_path / "sysfs" / "video3").mkdir(parents=True)
    (tmp_path / "sysfs" / "video3" / "name").write_text("C920\n")
    (tmp_path / "video3").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "video3")
    assert candidates(str(tmp_path / "by-id")) == [Node(str(tmp_path / "by-id"), "C920")]


@pytest.mark.parametrize(
    ("of_all", "of_this", "captures"),
    [
        (VIDEO_CAPTURE | STREAMING, 0, True),  # an old driver, which says nothing of the node
        (VIDEO_CAPTURE, 0, False),  # by read() only
        (STREAMING, 0, False),
        (HAS_DEVICE_CAPS | VIDEO_CAPTURE | STREAMING, VIDEO_CAPTURE | STREAMING, True),
        (HAS_DEVICE_CAPS | VIDEO_CAPTURE | STREAMING, STREAMING, False),  # the node of its metadata
    ],
)
def test_what_is_a_camera(
    of_all: int, of_this: int, captures: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(_fd: int, request: int, argument: bytearray) -> None:
        if request != QUERYCAP:
            raise OSError(errno.EINVAL, "Invalid argument")
        argument[:] = CAPABILITY.pack(b"", b"", b"", 0, of_all, of_this)

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    (tmp_path / "video0").touch()
    before = descriptors()
    assert offers(Node(str(tmp_path / "video0"), "")) == ([] if captures else None)
    assert descriptors() == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_no_permission(tmp_path: Path) -> None:
    node = Node(str(tmp_path / "video0"), "C920")
    Path(node.path).touch(0)
    with as_nobody(), pytest.raises(SourceError, match=r"no permission to read .*: make the server's user a member"):
        offers(node)
    assert "the group video (" in str(refusal(Node(ABSENT, ""), PermissionError(errno.EACCES, "Permission denied")))


def test_a_full_bus_and_what_is_not_known() -> None:
    full = refusal(NODE, av.error.OSError(errno.ENOSPC, "No space left on device"))
    assert "its USB bus has no room" in str(full)
    broken = refusal(NODE, av.error.OSError(errno.EIO, "Input/output error"))
    assert str(broken) == "/dev/video0 (C920) cannot be read: Input/output error"


@pytest.mark.parametrize(("opened", "words"), [(set(), "is gone"), ({5, 6}, "is busy")])
def test_a_camera_whose_descriptor_is_not_known_is_not_read(
    opened: set[int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be waited for where nothing ever comes."""
    film = write_clip(tmp_path / "film.mkv", pictures=3)
    look, open_file = iter([{4}, {4} | opened]), av.open
    monkeypatch.setattr(device, "_descriptors", lambda _: next(look))
    monkeypatch.setattr("av.open", lambda *_, **__: open_file(str(film)))
    with pytest.raises(SourceError, match=words):
        device._opened(NODE, {})
