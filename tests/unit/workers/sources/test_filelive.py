"""Files are driven by hand: the test asks each feed when it is due, and comes at that time."""

import gc
import os
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import VideoFrame
from camfleet.core.wire import FileLive
from camfleet.workers.codecs import H264, AccessUnit
from camfleet.workers.sources import SourceError
from camfleet.workers.sources.filelive import FilePassThrough
from camfleet.workers.sources.filepictures import FilePictures
from camfleet.workers.sources.lineup import Lineup
from camfleet.workers.sources.mediafile import OPEN_OPTIONS
from camfleet.workers.sources.playlist import open_file_pictures

from tests.kit.clips import decode, number_of, write_access_units, write_clip

START_NS = 7_000_000_000
MS = 1_000_000

CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4": ("clip.mp4", {}),
    "mp4-b-frames": ("clip.mp4", {"b_frames": 3}),
    "mp4-fragmented": ("clip.mp4", {"b_frames": 2, "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "mkv": ("clip.mkv", {}),
    "mkv-b-frames": ("clip.mkv", {"b_frames": 3}),
    "mkv-without-index": ("clip.mkv", {"b_frames": 2, "container_options": {"live": "1"}}),
    "ts": ("clip.ts", {}),
    "ts-b-frames": ("clip.ts", {"b_frames": 3}),
    "baseline": ("clip.mp4", {"options": {"profile": "baseline"}}),
    "one-key-frame": ("clip.ts", {"gop": 1000}),
    "every-frame-a-key-frame": ("clip.mkv", {"gop": 1}),
    "odd-gop": ("clip.mp4", {"gop": 7, "b_frames": 2}),
    "24000/1001": ("clip.mp4", {"fps": Fraction(24_000, 1001), "b_frames": 1}),
}


@pytest.fixture(params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, settings = CLIPS[request.param]
    return write_clip(tmp_path / name, **settings)


def pictures(path: str, width: int, height: int, start_ns: int) -> FilePictures:
    return open_file_pictures(FileLive(path), Lineup(), width, height, start_ns)


def at(source: FilePictures, number: int, capture_ns: int) -> VideoFrame:
    picture = source.picture(number, capture_ns)
    assert picture is not None
    return picture


def play(source: FilePassThrough, count: int) -> Iterator[tuple[int, AccessUnit]]:
    """(when it is shown, what) of the next units, each read before its time."""
    while count > 0:
        now_ns = source.due_ns
        for unit in list(source.read(now_ns, False))[:count]:
            assert unit.due_ns >= now_ns
            yield unit.due_ns, unit
            count -= 1


def passed_through(path: Path, count: int) -> list[tuple[int, AccessUnit]]:
    source = FilePassThrough(str(path), START_NS)
    try:
        return list(play(source, count))
    finally:
        source.close()


# ---------------------------------------------------------------- passing through


def test_three_passes_decode_without_an_error_in_the_order_of_showing(clip: Path) -> None:
    units = [unit for _, unit in passed_through(clip, 3 * 45)]
    times = [unit.capture_ns for unit in units]
    pictures = decode([bytes(unit.data) for unit in units], times)
    assert [number_of(picture) for picture in pictures] == 3 * list(range(45))
    assert [picture.pts for picture in pictures] == sorted(times)  # each has its own time, whatever the sending order


def test_every_key_frame_brings_its_parameter_sets(clip: Path) -> None:
    source = FilePassThrough(str(clip), START_NS)
    units = [unit for _, unit in play(source, 2 * 45)]
    assert units[0].key_frame
    assert any(unit.key_frame for unit in units[45:])
    for unit in units:
        assert unit.key_frame == (5 in H264.leading_types(bytes(unit.data)))
        if unit.key_frame:
            assert H264.parameter_sets(bytes(unit.data)) == source.description.parameter_sets
    assert (source.description.width, source.description.height) == (160, 96)
    source.close()


def test_times_go_on_evenly_over_the_seams(clip: Path) -> None:
    frame_ns = 1001 * 10**9 / 24_000 if "24000" in os.environ.get("PYTEST_CURRENT_TEST", "") else 10**9 / 30
    sent = passed_through(clip, 4 * 45)
    assert sent[0][0] == START_NS
    tolerance_ns = 1.1 * MS  # Matroska rounds its times to milliseconds
    for (before_ns, _), (after_ns, _) in pairwise(sent):
        assert after_ns - before_ns == pytest.approx(frame_ns, abs=tolerance_ns)
    shown = sorted(unit.capture_ns for _, unit in sent)
    for before_ns, after_ns in pairwise(shown):
        assert after_ns - before_ns == pytest.approx(frame_ns, abs=tolerance_ns)
    assert shown[-1] - shown[0] == pytest.approx((4 * 45 - 1) * frame_ns, abs=4 * tolerance_ns)
    assert all(0 <= unit.capture_ns - due_ns <= 200 * MS for due_ns, unit in sent)


def test_loops_do_not_drift(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", pictures=5, fps=Fraction(30_000, 1001))
    sent = passed_through(path, 1001)
    assert sent[1000][0] - START_NS == 1000 * 1001 * 10**9 // 30_000


def test_a_machine_that_slept_goes_on_where_the_file_was(tmp_path: Path) -> None:
    source = FilePassThrough(str(write_clip(tmp_path / "clip.mp4", fps=10)), START_NS)
    list(source.read(source.due_ns, False))
    woke_ns = START_NS + 3_600 * 10**9
    late = list(source.read(woke_ns, False))
    assert [unit.capture_ns for unit in late] == [woke_ns + number * 100 * MS for number in range(6)]
    assert [unit.due_ns for unit in late] == [unit.capture_ns for unit in late]
    soon = list(source.read(source.due_ns + 900 * MS, False))  # caught up with: a reader's buffer bridges that
    assert soon[0].due_ns == late[-1].due_ns + 100 * MS
    source.close()


def test_the_next_are_read_before_the_last_has_been_shown_for_long(clip: Path) -> None:
    source = FilePassThrough(str(clip), START_NS)
    due_ns = source.due_ns
    for _ in range(20):
        units = list(source.read(due_ns, False))
        assert 12 <= len(units) <= 17  # half a second
        assert source.due_ns == units[-1].due_ns - 100 * MS  # time enough on a busy machine
        due_ns = source.due_ns
    source.close()


def test_a_fast_film_does_not_run_over(tmp_path: Path) -> None:
    """Of what has been read, no more waits for its time than the fan-out thread can be handed."""
    source = FilePassThrough(str(write_clip(tmp_path / "clip.mp4", fps=1000)), START_NS)
    waiting: list[AccessUnit] = []
    for _ in range(40):
        now_ns = max(source.due_ns, START_NS)
        waiting = [unit for unit in waiting if unit.due_ns > now_ns] + list(source.read(now_ns, False))
        assert len(waiting) <= 256
    assert now_ns > START_NS + 10**9
    source.close()


def test_parameter_sets_that_stand_at_the_start_only_are_repeated(tmp_path: Path) -> None:
    source = FilePassThrough(str(write_clip(tmp_path / "whole.ts", b_frames=0)), START_NS)
    units = [bytes(unit.data) for _, unit in play(source, 45)]
    source.close()
    bare = [units[0]] + [strip_parameter_sets(unit) for unit in units[1:]]
    assert H264.parameter_sets(bare[15]) == ()
    again = [bytes(unit.data) for _, unit in passed_through(write_access_units(tmp_path / "bare.ts", bare), 45)]
    assert [n for n, unit in enumerate(again) if H264.parameter_sets(unit)] == [0, 15, 30]
    assert [number_of(picture) for picture in decode(again)] == list(range(45))


def strip_parameter_sets(unit: bytes) -> bytes:
    start = b"\x00\x00\x01"
    return b"".join(start + nal for nal in unit.split(start)[1:] if nal[0] & 0x1F not in (7, 8))


# ---------------------------------------------------------------- what cannot be played


def garbage(path: Path) -> Path:
    path.write_bytes(os.urandom(50_000))
    return path


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame("fltp", "mono", 1024)
        frame.sample_rate, frame.pts = 48_000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def play_list(path: Path, text: str) -> Path:
    write_clip(path.parent / "real.ts")
    path.write_text(text)
    return path


def truncated(path: Path) -> Path:
    whole = write_clip(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # the index of an MP4 stands at its end
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


UNPLAYABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "none.mp4", r"none\.mp4 cannot be opened: No such file .* check the stream's `path`"),
    "folder": (lambda d: d, r"has no MP4, MKV or TS file|not a regular file"),
    "pipe": (lambda d: pipe(d / "pipe.mp4"), r"not a regular file"),
    "empty": (lambda d: empty(d / "a.mp4"), r"a\.mp4 is empty"),
    "garbage": (lambda d: garbage(d / "a.mp4"), r"cannot be read as MP4, MKV or TS"),
    "truncated": (lambda d: truncated(d / "a.mp4"), r"a\.mp4 cannot be read .*truncated"),
    "audio": (lambda d: audio_only(d / "a.mp4"), r"a\.mp4 has no video track"),
    "concat": (lambda d: play_list(d / "a.mp4", "ffconcat version 1.0\nfile real.ts\n"), "cannot be read as"),
    "hls": (lambda d: play_list(d / "a.m3u8", "#EXTM3U\n#EXTINF:1,\nreal.ts\n#EXT-X-ENDLIST\n"), "cannot be read as"),
    "protocol": (lambda d: Path(f"concat:{write_clip(d / 'a.ts')}"), r"cannot be opened: No such file"),
    "nul": (lambda d: d / "a\0.mp4", r"cannot be opened: embedded null byte"),
    "url": (lambda _: Path("http://127.0.0.1:9/a.mp4"), r"cannot be opened: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNPLAYABLE)
@pytest.mark.parametrize("kind", ["pass-through", "re-encode"])
def test_errors_name_the_file_and_what_to_do(case: str, kind: str, tmp_path: Path) -> None:
    make, words = UNPLAYABLE[case]
    path = str(make(tmp_path))
    with pytest.raises(SourceError, match=words):
        FilePassThrough(path, 0) if kind == "pass-through" else pictures(path, 160, 96, 0)


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.ts").rename(tmp_path / "udp:1.ts")
    monkeypatch.chdir(tmp_path)
    assert len(passed_through(Path("udp:1.ts"), 5)) == 5


def test_ffmpeg_may_open_nothing_but_files(tmp_path: Path) -> None:
    """Should a container we play ever name another resource."""
    url = f"concat:{write_clip(tmp_path / 'clip.ts')}"
    av.open(url).close()
    with pytest.raises(av.error.FFmpegError):
        av.open(url, options=OPEN_OPTIONS)


def test_a_file_of_another_codec_needs_an_encoder(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", codec="mpeg4")
    with pytest.raises(
        SourceError, match=r"clip\.mkv is mpeg4, not H\.264 or H\.265; give the stream `video` settings"
    ):
        FilePassThrough(str(path), 0)


def test_a_file_without_idr_pictures_after_its_start_has_no_place_to_join(tmp_path: Path) -> None:
    units = [bytes(unit.data) for _, unit in passed_through(write_clip(tmp_path / "clip.ts", gop=1000), 45)]
    headless = write_access_units(tmp_path / "headless.ts", [b"".join([units[0][:64], units[1]]), *units[2:]])
    with pytest.raises(SourceError, match=r"headless\.ts has no key frame .* `video` settings"):
        FilePassThrough(str(headless), 0)


# ---------------------------------------------------------------- damage (bad-input 75)


def damage(path: Path, number: int) -> None:
    """The length in front of a NAL unit of this picture says 4 GB."""
    with av.open(str(path)) as container:
        positions = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    data[positions[number] : positions[number] + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)


@pytest.mark.parametrize("number", [5, 15, 44])
def test_a_damaged_access_unit_is_left_out_and_counted(number: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    damage(path, number)
    source = FilePassThrough(str(path), START_NS)
    sent = list(play(source, 2 * 44))
    assert source.skipped in (2, 3)  # the third pass has begun
    assert {round((due_ns - START_NS) * 30 / 10**9) for due_ns, _ in sent} == set(range(90)) - {number, 45 + number}
    source.close()


def test_a_pass_begins_at_an_idr_picture_even_when_the_first_is_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    damage(path, 0)
    sent = passed_through(path, 2 * 30)
    assert sent[0][0] == START_NS
    assert [n for n, (_, unit) in enumerate(sent) if unit.key_frame] == [0, 15, 30, 45]
    assert [number_of(p) for p in decode([bytes(unit.data) for _, unit in sent])] == 2 * list(range(15, 45))


def test_a_file_cut_off_in_the_middle_plays_up_to_there(tmp_path: Path) -> None:
    for name in ("clip.ts", "clip.mkv"):
        path = write_clip(tmp_path / name)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        source = FilePassThrough(str(path), START_NS)
        sent = list(play(source, 120))
        assert len(sent) >= 110
        assert sum(unit.key_frame for _, unit in sent) >= 3
        source.close()


@pytest.mark.parametrize(
    "stamps",
    [
        [*range(10), *range(2_700_000, 2_700_035)],  # 25 hours later
        [*range(0, 20, 2), *range(20, 55)],
    ],
)
@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_jumping_time_stamps_leave_no_silence(stamps: list[int], suffix: str, tmp_path: Path) -> None:
    sent = passed_through(write_clip(tmp_path / f"clip.{suffix}", stamps=stamps), 2 * 45)
    assert len(sent) == 90
    assert all(30 * MS < after_ns - before_ns < 70 * MS for (before_ns, _), (after_ns, _) in pairwise(sent))


def test_time_stamps_that_go_back(tmp_path: Path) -> None:
    early = write_clip(tmp_path / "a.ts")
    late = write_clip(tmp_path / "b.ts", b_frames=2, stamps=list(range(150, 195)))
    late.write_bytes(late.read_bytes() + early.read_bytes())  # its next pass begins 3.5 s after its last
    sent = passed_through(late, 3 * 90)
    assert all(0 < after_ns - before_ns < 100 * MS for (before_ns, _), (after_ns, _) in pairwise(sent))


def ue(value: int) -> str:
    """Exp-Golomb, 9.1, as text."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def nal(header: bytes, bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8)
    return b"\x00\x00\x00\x01" + header + body.replace(b"\x00\x00", b"\x00\x00\x03")


def monster(width: int, height: int) -> bytes:
    """A baseline IDR picture of that size, all headers right, the macroblocks missing."""
    sps = ue(0) + ue(0) + ue(2) + ue(1) + "0" + ue(width // 16 - 1) + ue(height // 16 - 1) + "11001"  # 7.3.2.1.1
    pps = ue(0) + ue(0) + "00" + ue(0) + ue(0) + ue(0) + "000" + ue(0) + ue(0) + ue(0) + "0001"  # 7.3.2.2
    idr_slice = ue(0) + ue(7) + ue(0) + "0000" + ue(0) + "00" + ue(0) + 100 * "1"  # 7.3.3
    return nal(b"\x67\x42\xc0\x1f", sps) + nal(b"\x68", pps) + nal(b"\x65", idr_slice)


def test_the_hand_made_picture_is_understood_when_it_is_small(tmp_path: Path) -> None:
    path = write_access_units(tmp_path / "clip.ts", 30 * [monster(640, 480)])
    source = FilePassThrough(str(path), 0)
    assert (source.description.width, source.description.height) == (640, 480)
    source.close()
    (picture,) = decode([monster(640, 480)], checked=False)
    assert (picture.width, picture.height) == (640, 480)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (100_000, r"clip\.ts has a video track without a picture size"),  # more than FFmpeg's own limit
        (16_000, r"clip\.ts has pictures of 16000x16000, over the limit of 35651584"),
    ],
)
def test_an_sps_of_monstrous_size_is_refused(side: int, words: str, tmp_path: Path) -> None:
    path = str(write_access_units(tmp_path / "clip.ts", 30 * [monster(side, side)]))
    with pytest.raises(SourceError, match=words):
        FilePassThrough(path, 0)
    with pytest.raises(SourceError, match=words):
        pictures(path, 640, 360, 0)


def test_a_picture_that_grows_monstrous_on_the_way_is_not_decoded(tmp_path: Path) -> None:
    units = [bytes(unit.data) for _, unit in passed_through(write_clip(tmp_path / "clip.ts"), 45)]
    path = write_access_units(tmp_path / "grown.ts", units + 5 * [monster(16_000, 16_000)])
    source = pictures(str(path), 160, 96, START_NS - 1)
    assert shown(source, 30, 44) == list(range(44))
    shown(source, 30, 60)
    assert source.skipped >= 5
    source.close()


# ---------------------------------------------------------------- decoding for an encoder


def shown(source: FilePictures, fps: int, count: int) -> list[int]:
    return [number_of(at(source, n, START_NS + n * 10**9 // fps)) for n in range(count)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_decoded_pictures_in_the_order_of_showing_over_the_seam(name: str, b_frames: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, b_frames=b_frames)
    source = pictures(str(path), 160, 96, START_NS - 2 * MS)  # Matroska's rounding shall not decide
    assert shown(source, 30, 100) == (3 * list(range(45)))[:100]
    source.close()


@pytest.mark.parametrize(("file_fps", "fps"), [(30, 10), (10, 30), (25, 30), (30, 25)])
def test_the_newest_picture_that_is_not_later_is_shown(file_fps: int, fps: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", fps=file_fps)
    source = pictures(str(path), 160, 96, START_NS - 1)
    assert shown(source, fps, 200) == [n * file_fps // fps % 45 for n in range(200)]
    source.close()


def test_pictures_are_scaled_and_brought_to_limited_range(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", codec="mjpeg", pixel_format="yuvj420p", size=(160, 90), options={"q": "2"})
    source = pictures(str(path), 320, 180, START_NS - MS)
    picture = at(source, 20, START_NS + 20 * 10**9 // 30)
    assert (picture.width, picture.height, picture.format.name) == (320, 180, "yuv420p")
    full = 20 + 4 * 20
    assert picture.to_ndarray()[:180].mean() == pytest.approx(16 + full * 219 / 255, abs=1.5)
    assert source.colours.range == 1
    source.close()


BLACK, NEUTRAL = 16, 128


@pytest.mark.parametrize(
    ("size", "left", "top"),  # of the picture inside 320 x 180
    [
        ((160, 90), 0, 0),
        ((1920, 1080), 0, 0),
        ((160, 120), 40, 0),  # 4:3, 240 wide
        ((90, 160), 110, 0),  # a telephone's
        ((240, 100), 0, 24),  # cinema, 132 high
        ((64, 2048), 158, 0),
        ((16, 4096), 158, 0),  # 0.7 wide: never nothing
    ],
)
def test_another_aspect_ratio_gets_black_bars(size: tuple[int, int], left: int, top: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", size=size)
    source = pictures(str(path), 320, 180, START_NS - MS)
    for number in (0, 20):  # the second shows nothing of the first
        picture = at(source, number, START_NS + number * 10**9 // 30)
        assert (picture.width, picture.height, picture.format.name) == (320, 180, "yuv420p")
        planes = picture.to_ndarray()
        luma, chroma = planes[:180], planes[180:]
        inside = luma[top : 180 - top, left : 320 - left]
        assert inside.mean() == pytest.approx(20 + 4 * number, abs=1.5)
        assert inside.std() < 1.5
        assert (luma == BLACK).sum() == luma.size - inside.size
        assert abs(chroma.astype(int) - NEUTRAL).max() <= 2
    source.close()


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path: Path) -> None:
    """PAL's 720x576 with pixels of 64:45 is 16:9."""
    path = write_clip(tmp_path / "clip.mkv", size=(720, 576), pixel_aspect=Fraction(64, 45))
    source = pictures(str(path), 320, 180, START_NS - MS)
    assert number_of(at(source, 20, START_NS + 20 * 10**9 // 30)) == 20
    source.close()


def test_damaged_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", gop=1)
    damage(path, 7)
    source = pictures(str(path), 160, 96, START_NS - 1)
    numbers = shown(source, 30, 45)
    assert numbers[7] in (6, 7)
    assert numbers[:7] + numbers[8:] == [*range(7), *range(8, 45)]
    source.close()


def test_a_late_caller_is_not_shown_an_hour_of_the_file(tmp_path: Path) -> None:
    source = pictures(str(write_clip(tmp_path / "clip.mp4")), 160, 96, START_NS - 1)
    assert shown(source, 30, 3) == [0, 1, 2]
    hour_ns = 3_600 * 10**9
    assert number_of(at(source, 3, START_NS + hour_ns)) == 3
    assert number_of(at(source, 4, START_NS + hour_ns + 34 * MS)) == 4
    source.close()


def test_a_picture_held_for_long_is_scaled_once(tmp_path: Path) -> None:
    source = pictures(str(write_clip(tmp_path / "clip.mp4", fps=1)), 320, 180, START_NS - 1)
    assert source.picture(0, START_NS) is source.picture(1, START_NS + 33 * MS)
    source.close()


@pytest.mark.parametrize("open_source", [lambda path: FilePassThrough(path, 0), lambda path: pictures(path, 64, 36, 0)])
def test_a_closed_source_is_gone_without_the_collector(
    tmp_path: Path, open_source: Callable[[str], FilePassThrough | FilePictures]
) -> None:
    """A camera opens its file again for the next reader: what is left of the last time must not add up."""
    source = open_source(str(write_clip(tmp_path / "film.mp4")))
    gone = weakref.ref(source)
    gc.disable()
    try:
        source.close()
        del source
        assert gone() is None
    finally:
        gc.enable()
