from concurrent.futures import Future
from pathlib import Path

import msgspec
import numpy as np
import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import Image as ImageSpec
from camfleet.core.wire import OverlaySpec, StreamSpec, VideoSpec
from camfleet.workers.encoders import opening
from camfleet.workers.feed import EncodedFeed, StillFeed, open_feed
from camfleet.workers.sources import Place, SourceError
from camfleet.workers.sources import image as module
from camfleet.workers.sources.image import open_image
from camfleet.workers.sources.planes import planes
from PIL import Image

from tests.kit.clips import decode

RED = (63, 102, 240)  # Y, Cb, Cr of BT.709
WHITE = (235, 128, 128)
VIDEO = VideoSpec(width=160, height=90, fps=10, gop=20, encoder="x264")
PLACE = Place("ipc1-stream1", "Lobby", unix_offset_ns=0, wake=lambda: None)


def middle(path: Path, size: tuple[int, int] = (160, 90)) -> tuple[int, ...]:
    picture = open_image(str(path), *size).picture(0, 0)
    assert (picture.width, picture.height) == size
    return in_the_middle(picture)


def in_the_middle(picture: VideoFrame) -> tuple[int, ...]:
    return tuple(int(plane[plane.shape[0] // 2, plane.shape[1] // 2]) for plane in planes(picture))


@pytest.mark.parametrize("name", ["red.png", "red.jpg"])
@pytest.mark.parametrize("size", [(320, 180), (101, 57), (1, 1), (90, 160)])
def test_pictures_of_any_size_are_fitted_in_their_colours(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (255, 0, 0)).save(tmp_path / name)
    assert np.abs(np.subtract(middle(tmp_path / name), RED)).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "I;16"])
def test_all_kinds_of_png_are_pictures(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (64, 64)).save(tmp_path / "x.png")
    assert middle(tmp_path / "x.png")[1:] == (128, 128)


def test_what_cannot_be_used_is_named_and_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (64, 64)).save(path)
    whole = path.read_bytes()
    for damaged, wrong in ((b"", "is empty"), (whole[:60], "cannot be read"), (b"GIF89a" + whole, "cannot be read")):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=wrong):
            open_image(str(path), 160, 90)
    Image.new("1", (8000, 8000)).save(path)  # 8 KB
    with pytest.raises(SourceError, match="8000x8000 pixels, over the limit"):
        open_image(str(path), 160, 90)
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(SourceError, match="over the limit of 10"):
        open_image(str(path), 160, 90)
    with pytest.raises(SourceError, match="No such file"):
        open_image(str(tmp_path / "none.png"), 160, 90)


def test_it_is_coded_once_unless_something_moves_over_it(tmp_path: Path) -> None:
    Image.new("RGB", (160, 90), (255, 0, 0)).save(tmp_path / "x.png")
    stream = StreamSpec(id="stream1", source=ImageSpec(path=str(tmp_path / "x.png")), video=VIDEO)
    still = open_feed(PLACE, stream, 0)
    assert isinstance(still, StillFeed)
    units = [unit for _ in range(50) for unit in still.read(still.due_ns, False)]
    assert [number for number, unit in enumerate(units) if unit.key_frame] == [0, 20, 40]
    assert len(decode([bytes(unit.data) for unit in units])) == 50
    clock = StreamSpec(id="stream1", source=stream.source, video=VIDEO, overlays=(OverlaySpec(text="%S"),))
    assert isinstance(open_feed(PLACE, clock, 0), EncodedFeed)


def test_what_is_coded_once_does_not_wait_for_a_card_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "known", dict)
    monkeypatch.setattr(opening, "in_turn", lambda _: Future())  # it never answers
    Image.new("RGB", (160, 90), (255, 0, 0)).save(tmp_path / "x.png")
    feeds = [
        open_feed(PLACE, StreamSpec(id="stream1", source=ImageSpec(path=str(tmp_path / "x.png")), video=video), 0)
        for video in (msgspec.structs.replace(VIDEO, encoder=encoder) for encoder in ("auto", "nvenc"))
    ]
    assert [type(feed) for feed in feeds] == [StillFeed, EncodedFeed]
    assert [feed.encoder for feed in feeds] == ["libx264", ""]
    assert [len(list(feed.read(0, False))) for feed in feeds] == [1, 0]


@pytest.mark.parametrize("overlays", [(), (OverlaySpec(text="x", size=0.1),)], ids=["coded once", "with an overlay"])
def test_a_file_that_is_replaced_is_seen_when_it_is_whole(
    overlays: tuple[OverlaySpec, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, white = tmp_path / "x.png", tmp_path / "white.png"
    Image.new("RGB", (160, 90), (255, 0, 0)).save(path)
    picture = Image.new("RGB", (160, 90), (255, 255, 255))
    picture.paste(Image.effect_noise((160, 30), 99), (0, 60))  # else a part of the file is the whole picture
    picture.save(white)
    whole = white.read_bytes()
    video = msgspec.structs.replace(VIDEO, gop=33)  # so that no group begins when the file is looked at
    stream = StreamSpec(id="stream1", source=ImageSpec(path=str(path)), video=video, overlays=overlays)
    feed = open_feed(PLACE, stream, 0)
    units: list[bytes] = []
    keys: list[bool] = []

    def seen_after(pictures: int) -> tuple[int, ...]:
        arrived = [unit for _ in range(pictures) for unit in feed.read(feed.due_ns, False)]
        units.extend(bytes(unit.data) for unit in arrived)
        keys.extend(unit.key_frame for unit in arrived)
        newest = decode(units)
        assert len(newest) == len(units)
        return in_the_middle(newest[-1])

    def is_seen(colour: tuple[int, ...]) -> bool:
        return bool(np.abs(np.subtract(seen_after(15), colour)).max() <= 3)

    assert is_seen(RED)
    for written in (1, len(whole) // 2, len(whole) - 400):
        path.write_bytes(whole[:written])
        assert is_seen(RED)
    path.unlink()
    assert is_seen(RED)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["image_not_replaced"]
    white.rename(path)
    assert is_seen(WHITE)
    first_white = next(number for number, each in enumerate(decode(units)) if in_the_middle(each)[0] > 200)
    assert keys[first_white] or overlays, "what is coded once begins anew"
    path.write_bytes(b"")
    assert is_seen(WHITE)
    assert caplog.messages.count("image_not_replaced") == 2
