from pathlib import Path

import pytest
from camfleet.core.wire import Image, OverlaySpec
from camfleet.supervisor.config import check, load

STREAM = """
[[cameras]]
id = "ipc1"
[[cameras.streams]]
id = "stream1"
source = {source}
{video}
[[cameras.streams.overlays]]
{overlay}
"""


def write(folder: Path, overlay: str = "", source: str = '{ kind = "testlive" }', video: str = "") -> Path:
    file = folder / "camfleet.toml"
    file.write_text(STREAM.format(source=source, video=video, overlay=overlay))
    return file


def test_an_empty_table_is_name_and_clock(tmp_path: Path) -> None:
    (stream,) = load(write(tmp_path)).cameras[0].streams
    assert stream.overlays == (OverlaySpec(text="{camera}  %Y-%m-%d %H:%M:%S"),)


def test_everything_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.ttf").touch()
    text = 'text = "{camera} {ms}"\nposition = "bottom"\nsize = 0.1\n'
    text += 'colour = "#ff8000"\nbox = "#01020304"\nfont = "x.ttf"'
    (stream,) = load(write(tmp_path, text)).cameras[0].streams
    assert stream.overlays == (
        OverlaySpec(
            text="{camera} {ms}",
            position="bottom",
            size=0.1,
            colour=0xFF8000FF,
            box=0x01020304,
            font=str(tmp_path / "x.ttf"),
        ),
    )


@pytest.mark.parametrize(
    ("overlay", "wrong"),
    [
        ('text = "{name}"', "{name} is not known"),
        ('text = ""', "overlays[0].text"),
        ('colour = "white"', "overlays[0].colour"),
        ("size = 0.6", "overlays[0].size"),
        ('position = "left"', "overlays[0].position"),
        ('font = "none.ttf"', "none.ttf"),
    ],
)
def test_what_is_wrong_is_named(overlay: str, wrong: str, tmp_path: Path) -> None:
    assert wrong in "\n".join(str(problem) for problem in check(write(tmp_path, overlay)))


def test_what_is_passed_through_cannot_be_painted(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    film = '{ kind = "filelive", path = "film.mp4" }'
    (problem,) = check(write(tmp_path, source=film))
    assert "passed through" in str(problem)
    assert check(write(tmp_path, source=film, video="video = {}")) == []


def test_an_image(tmp_path: Path) -> None:
    (tmp_path / "slate.png").touch()
    (stream,) = load(write(tmp_path, source='{ kind = "image", path = "slate.png" }')).cameras[0].streams
    assert stream.source == Image(path=str(tmp_path / "slate.png"))
    assert stream.kind == "image"
    assert stream.video is not None
