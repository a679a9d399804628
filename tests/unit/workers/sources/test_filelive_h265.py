"""H.265 files passed through; what is the same for both codecs is tested with H.264 in test_filelive.py."""

from collections.abc import Iterator
from itertools import count as count_up
from itertools import islice
from pathlib import Path
from typing import Any

import av
import pytest
from camfleet.workers.codecs import H265, AccessUnit
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.filelive import FilePassThrough

from tests.kit.clips import decode, number_of, write_access_units, write_clip

START_NS = 7_000_000_000
PICTURES, GOP = 45, 17  # with two B pictures in a row each key frame but the first has a RASL picture
CRA, BLA, IDR = 21, 16, 20
LEADING = {8, 9}  # RASL_N, RASL_R

CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4": ("clip.mp4", {}),
    "mp4-open-gops": ("clip.mp4", {"b_frames": 2}),
    "mp4-fragmented": ("clip.mp4", {"b_frames": 2, "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "mkv-open-gops": ("clip.mkv", {"b_frames": 2}),
    "ts": ("clip.ts", {}),
    "ts-open-gops": ("clip.ts", {"b_frames": 2}),
}


@pytest.fixture(params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, settings = CLIPS[request.param]
    return write_clip(tmp_path / name, codec="libx265", pictures=PICTURES, gop=GOP, **settings)


def play(source: FilePassThrough, count: int) -> Iterator[AccessUnit]:
    """The next units; each `read` gives a few."""
    return islice((unit for _ in count_up() for unit in source.read(source.due_ns, False)), count)


def passed_through(path: Path, count: int) -> list[AccessUnit]:
    source = FilePassThrough(str(path), START_NS)
    try:
        return list(play(source, count))
    finally:
        source.close()


def types(unit: AccessUnit) -> set[int]:
    return H265.leading_types(bytes(unit.data))


def test_three_passes_decode_without_an_error_in_the_order_of_showing(clip: Path) -> None:
    units = passed_through(clip, 3 * PICTURES)
    times = [unit.capture_ns for unit in units]
    pictures = decode([bytes(unit.data) for unit in units], times, codec="h265")
    assert [number_of(picture) for picture in pictures] == 3 * list(range(PICTURES))
    assert [picture.pts for picture in pictures] == sorted(times)


def test_key_frames_are_idr_and_cra_pictures_and_bring_their_parameter_sets(clip: Path) -> None:
    source = FilePassThrough(str(clip), START_NS)
    units = list(play(source, 2 * PICTURES))
    keys = [types(unit) & {IDR, CRA} for unit in units if unit.key_frame]
    assert keys == 2 * [{IDR}, {CRA}, {CRA}]
    assert all(unit.key_frame == bool(types(unit) & H265.key_frames) for unit in units)
    vps, sps, pps = source.description.parameter_sets
    for unit in units:
        if unit.key_frame:
            assert set(H265.parameter_sets(bytes(unit.data))) == {vps, sps, pps}
    assert (source.description.codec, source.description.width, source.description.height) == ("h265", 160, 96)
    source.close()


def test_a_reader_may_start_at_any_key_frame(tmp_path: Path) -> None:
    """A decoder leaves the RASL pictures of the CRA picture out that it starts with, and shows no grey."""
    path = write_clip(tmp_path / "clip.mp4", codec="libx265", pictures=PICTURES, gop=GOP, b_frames=2)
    units = passed_through(path, PICTURES)
    assert any(types(unit) & LEADING for unit in units)
    for start in (index for index, unit in enumerate(units) if unit.key_frame):
        pictures = decode([bytes(unit.data) for unit in units[start:]], codec="h265")
        numbers = [number_of(picture) for picture in pictures]
        assert numbers == list(range(numbers[0], PICTURES))
        assert numbers[0] % GOP == 0


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A recording that begins at a CRA picture, as a cutter without re-encoding leaves it."""
    whole = passed_through(
        write_clip(tmp_path / "whole.ts", codec="libx265", pictures=PICTURES, gop=GOP, b_frames=2), PICTURES
    )
    first = next(index for index, unit in enumerate(whole) if types(unit) & {CRA})
    units = [bytes(unit.data) for unit in whole[first:]]
    return write_access_units(tmp_path / "cut.ts", units, codec="libx265")


def test_a_pass_that_begins_with_a_cra_picture_begins_with_a_bla_picture(cut: Path) -> None:
    """Its RASL pictures would be decoded with pictures of the pass before, on every turn of the loop."""
    with av.open(str(cut)) as container:
        count = sum(1 for packet in container.demux(video=0) if packet.size)
    units = passed_through(cut, 3 * count)
    assert [types(unit) & {BLA, CRA, IDR} for unit in units if unit.key_frame] == 3 * [{BLA}, {CRA}]
    numbers = [number_of(picture) for picture in decode([bytes(unit.data) for unit in units], codec="h265")]
    assert numbers == 3 * list(range(GOP, PICTURES))


def test_parameter_sets_that_stand_at_the_start_only_are_repeated(tmp_path: Path) -> None:
    units = [bytes(unit.data) for unit in passed_through(write_clip(tmp_path / "a.ts", codec="libx265", gop=15), 45)]
    bare = [units[0]] + [_without_sets(unit) for unit in units[1:]]
    assert H265.parameter_sets(bare[15]) == ()
    again = passed_through(write_access_units(tmp_path / "bare.ts", bare, codec="libx265"), 45)
    assert [n for n, unit in enumerate(again) if H265.parameter_sets(bytes(unit.data))] == [0, 15, 30]
    pictures = decode([bytes(unit.data) for unit in again], codec="h265")
    assert [number_of(picture) for picture in pictures] == list(range(45))


def _without_sets(unit: bytes) -> bytes:
    start = b"\x00\x00\x01"
    return b"".join(start + nal for nal in unit.split(start)[1:] if nal[0] >> 1 & 0x3F not in (32, 33, 34))


def test_a_file_without_a_key_frame_after_its_start_has_no_place_to_join(tmp_path: Path) -> None:
    whole = passed_through(write_clip(tmp_path / "clip.ts", codec="libx265", gop=1000), 45)
    units = [bytes(unit.data) for unit in whole]
    headless = write_access_units(tmp_path / "headless.ts", [units[0][:100], *units[1:]], codec="libx265")
    with pytest.raises(SourceError, match=r"headless\.ts has no key frame .* `video` settings"):
        FilePassThrough(str(headless), 0)
