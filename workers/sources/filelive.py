"""The access units of a media file as a live camera, in an endless loop at its own pace."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import itertools
from collections.abc import Generator

from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ..clockmap import NS_PER_S
from ..codecs import H264, H265, AccessUnit, Colours, Description, cut_here
from ..encoders.errors import PYAV_ERRORS, plain_words
from .base import SourceError
from .mediafile import MediaFile
from .timeline import Timeline

# After a longer pause (a machine that slept) the file goes on where it was, and is not hurried through.
MAX_LATE_NS = NS_PER_S
# What is read and pushed at once, each unit to be shown in its time. One after the other they cost a fraction of what
# they do 33 ms apart, with cold caches, and only the fan-out thread wakes up for every frame (decision 27).
READ_AHEAD_NS = NS_PER_S // 2
READ_AHEAD_UNITS = 50  # the readers' thread is handed 256 at most
MARGIN_NS = NS_PER_S // 10  # the next are read so long before the last one is due: the machine may be busy
MAX_AHEAD_NS = NS_PER_S  # of presentation before decoding: 16 reordered pictures at 16 fps
MAX_SEARCH = 1000  # packets; the longest key frame distance that recorders use is 10 s, 600 frames of 60 fps
RE_ENCODE = "give the stream `video` settings to re-encode it"
# By FFmpeg's names; what makes Annex B of the form that MP4 and MKV have.
PASSED = {"h264": (H264, "h264_mp4toannexb"), "hevc": (H265, "hevc_mp4toannexb")}


class FilePassThrough:
    """The access units of an H.264 or H.265 file as they are: sent in decoding order, with their presentation times.

    Each pass begins at its first key frame. Damaged units are left out and counted in `skipped`.
    """

    encoder = "pass-through"
    absence = ""

    def __init__(self, path: str, start_ns: int, *, once: bool = False, offset_s: float = 0.0) -> None:
        """`once`: no second pass; `read` then sets `ended`, and `end_ns` is the time at which another may begin."""
        self.ended = False
        self._once = once
        self._file = MediaFile(path)
        if offset_s:
            self._file.skip(offset_s)
        track = self._file.track
        if track.codec.name not in PASSED:
            raise SourceError(f"{path} is {track.codec.name}, not H.264 or H.265; {RE_ENCODE}")
        self._codec, to_annex_b = PASSED[track.codec.name]
        try:
            self._to_annex_b = BitStreamFilterContext(to_annex_b, track)
        except PYAV_ERRORS as error:
            raise SourceError(f"{path}: the {self._codec.title} header is damaged: {plain_words(error)}") from error
        self.skipped = 0
        self._timeline = Timeline(start_ns, self._file.time_base, self._file.frame)
        self.colours = colours_of(track)
        self.pixel_aspect = track.sample_aspect_ratio or None
        header = track.codec_context.extradata or b""
        # avcC and hvcC start with 1
        self._parameter_sets = self._codec.parameter_sets(header) if header.startswith(b"\x00") else ()
        self._schedule = self._scheduled()
        # Until `read`: is there anything to play?
        self._first: tuple[int, AccessUnit | None] | None = next(self._schedule)
        self.due_ns = self._first[0]
        self.description = Description(
            track.width, track.height, self._file.fps, self._parameter_sets, self._codec.name
        )

    def read(self, now_ns: int, _force_key: bool, /) -> Generator[AccessUnit, None, None]:
        """The next few, each read when it is asked for; `due_ns` is in the end a little before the last of them."""
        following, self._first = self._first or next(self._schedule, None), None
        if following is None:
            self.ended = True
            return
        due_ns, unit = following
        late_ns = now_ns - due_ns
        if late_ns > MAX_LATE_NS:
            self._timeline.delay(late_ns)
            due_ns, unit = due_ns + late_ns, unit and unit.later(late_ns)
        end_ns = due_ns + READ_AHEAD_NS
        for number in itertools.count(1):
            self.due_ns = due_ns
            if unit is None:
                self.skipped += 1
            else:
                yield unit
            following = next(self._schedule, None)
            if following is None:
                return
            if following[0] > end_ns or number == READ_AHEAD_UNITS:
                self._first = following
                # Much later: it is not pushed yet, as what else comes would have to wait behind it.
                self.due_ns = max(due_ns - MARGIN_NS, following[0] - READ_AHEAD_NS)
                return
            due_ns, unit = following

    @property
    def end_ns(self) -> int:
        return self._timeline.end_ns

    def close(self) -> None:
        self._schedule.close()  # it refers to this object, which would wait for the collector with all that it holds
        self._first = None
        self._file.close()

    def _scheduled(self) -> Generator[tuple[int, AccessUnit | None], None, None]:
        """(when to send, what)."""
        codec = self._codec
        started, searched = False, 0
        for packet in self._file.packets():
            if packet is None:
                if not started:
                    raise self._no_start()
                if self._once:
                    return
                started, searched = False, 0
                self._timeline.new_pass()
                self._to_annex_b.flush()
                continue
            dts, pts, duration = packet.dts, packet.pts, packet.duration  # the filter takes the packet's inside
            data = self._annex_b(packet)
            types = codec.leading_types(data)
            key_frame = not types.isdisjoint(codec.key_frames)
            if not started and not key_frame:
                searched += 1
                if searched > MAX_SEARCH:
                    raise self._no_start()
                continue
            if not started and codec is H265:
                data = cut_here(data)
            started = True
            due_ns = self._timeline.place(dts, duration)
            if types.isdisjoint(codec.slices):
                yield due_ns, None
                continue
            if key_frame:
                data = self._with_parameter_sets(data, types)
            ahead = pts - dts if pts is not None and dts is not None else 0
            ahead_ns = min(max(0, self._timeline.span_ns(ahead)), MAX_AHEAD_NS)
            yield due_ns, AccessUnit(data, due_ns + ahead_ns, key_frame, due_ns)

    def _annex_b(self, packet: Packet[VideoStream]) -> bytes:
        """Empty for a damaged packet."""
        if packet.is_corrupt:
            return b""
        try:
            return b"".join(bytes(filtered) for filtered in self._to_annex_b.filter(packet))
        except PYAV_ERRORS:
            return b""

    def _with_parameter_sets(self, data: bytes, types: set[int]) -> bytes:
        """Joiners start at any key frame, and many files carry the sets before the first one only."""
        if types.issuperset(self._codec.parameter_types):
            self._parameter_sets = self._codec.parameter_sets(data)
            return data
        if not self._parameter_sets:
            raise SourceError(f"{self._file.path} has no parameter sets (SPS, PPS); {RE_ENCODE}")
        return self._codec.with_parameter_sets(data, self._parameter_sets)

    def _no_start(self) -> SourceError:
        return SourceError(
            f"{self._file.path} has no key frame for readers to start with (H.264 with open GOPs, intra refresh "
            f"or damage); {RE_ENCODE}"
        )


def colours_of(track: VideoStream) -> Colours:
    """Of its pictures when they have been brought into limited range."""
    codec = track.codec_context
    return Colours(codec.color_primaries, codec.color_trc, codec.colorspace, ColorRange.MPEG)
