"""A camera of this machine: what can be found without looking at it."""

from pathlib import Path

import msgspec
import pytest
from camfleet.core.wire import Source, Webcam
from camfleet.supervisor.config import check, load

CAMERA = '[[cameras]]\nid = "ipc1"\n[[cameras.streams]]\nid = "stream1"\nsource = {{ kind = "webcam", {} }}\n'


def written(folder: Path, settings: str) -> Path:
    file = folder / "camfleet.toml"
    file.write_text(CAMERA.format(settings))
    return file


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('device = "/dev/video0"', Webcam(device="/dev/video0")),
        (
            'device = "C920", size = "1920x1080", fps = 15, format = "yuyv422"',
            Webcam(device="C920", width=1920, height=1080, fps=15, format="yuyv422"),
        ),
    ],
)
def test_what_a_worker_is_told(settings: str, expected: Webcam, tmp_path: Path) -> None:
    (stream,) = load(written(tmp_path, settings)).cameras[0].streams
    assert stream.source == expected
    assert stream.video is not None  # nothing of it is passed through
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stream.source), type=Source) == expected


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('size = "640x480"', "source.device: is missing"),
        ('device = ""', "source.device"),
        ('device = "C920", size = "640*480"', 'size: "640*480" is not allowed; allowed: a size, as in "1280x720"'),
        ('device = "C920", size = "640x480+1+1"', "source.size"),
        ('device = "C920", size = "0x480"', "source.size"),
        ('device = "C920", size = "640x40000"', "source.size"),
        ('device = "C920", fps = 0', "source.fps"),
        ('device = "C920", format = "mpeg"', "source.format"),
    ],
)
def test_wrong(settings: str, complaint: str, tmp_path: Path) -> None:
    (problem,) = check(written(tmp_path, settings))
    assert complaint in str(problem)
