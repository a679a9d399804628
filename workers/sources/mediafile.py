"""The video track of a local MP4, MKV or TS file, read again and again."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from ..encoders.errors import PYAV_ERRORS, plain_words, with_reasons
from .base import SourceError

MAX_PIXELS = 139_264 * 256  # MaxFS of level 6.2 (ITU-T H.264 Table A-1): what no decoder must take need not be opened
MAX_REORDER = 16  # max_dec_frame_buffering (ITU-T H.264 A.3.1)

# Only what we serve, only from local files: a play list or `concat:` could name anything on this machine or network.
OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts",
    "max_pixels": str(MAX_PIXELS),
}


class MediaFile:
    """An open file; `packets` never ends. `frame` is the usual duration of one in ticks of the track's time base."""

    def __init__(self, path: str) -> None:
        self.path = path
        check_regular(path)
        with with_reasons():
            try:
                self._container = av.open(f"file:{path}", options=OPEN_OPTIONS)
            except PYAV_ERRORS as error:
                raise SourceError(f"{path} cannot be read as MP4, MKV or TS: {plain_words(error)}") from error
        track = self._container.streams.best("video")
        if not isinstance(track, VideoStream):
            raise SourceError(f"{path} has no video track that can be played")
        self.track = track
        if not track.width or not track.height:
            raise SourceError(f"{path} has a video track without a picture size; it is damaged")
        if track.width * track.height > MAX_PIXELS:
            size = f"{track.width}x{track.height}"
            raise SourceError(f"{path} has pictures of {size}, over the limit of {MAX_PIXELS} pixels")
        rate = track.average_rate or track.guessed_rate or Fraction(25)
        self.fps = float(rate)
        self.time_base = track.time_base or Fraction(1, 90_000)
        self.frame = 1 / (rate * self.time_base)

    def skip(self, offset_s: float) -> None:
        """Begin with a key frame near this time, that before it where the file has an index; in a shorter film, as if
        it had been looped until then."""
        duration = self._container.duration  # microseconds
        offset = round(offset_s * 1_000_000)
        if duration and duration > 0:
            offset %= duration
        offset += max(0, self._container.start_time or 0)
        try:
            self._container.seek(offset)
        except PYAV_ERRORS as error:
            raise SourceError(f"{self.path} cannot begin at {offset_s:g} s: {plain_words(error)}") from error

    def packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The packets in decoding order, None after each pass. Damage that stops the reading ends the pass.

        Raises SourceError after a pass without a packet.
        """
        while True:
            reason, count = "it is empty", 0
            try:
                for packet in self._one_pass():
                    count += 1
                    yield packet
            except PYAV_ERRORS as error:
                reason = plain_words(error)
            if not count:
                raise SourceError(f"{self.path}: no picture could be read from its video track: {reason}")
            yield None
            self._rewind()

    def close(self) -> None:
        self._container.close()

    def _one_pass(self) -> Iterator[Packet[VideoStream]]:
        """With decoding times: Matroska has none, and FFmpeg leaves the first ones out when pictures are reordered."""
        without_dts: list[Packet[VideoStream]] = []
        for packet in self._container.demux(self.track):
            if not packet.size:  # the end
                continue
            without_dts.append(packet)
            if packet.dts is not None:
                for steps_back, earlier in enumerate(reversed(without_dts)):
                    earlier.dts = packet.dts - round(steps_back * self.frame)
            elif len(without_dts) <= MAX_REORDER:
                continue
            yield from without_dts
            without_dts.clear()
        yield from without_dts

    def _rewind(self) -> None:
        try:
            if self._container.format.name == "mpegts":  # by time it would find the picture after the first
                self._container.seek(0, unsupported_byte_offset=True)
            else:
                self._container.seek(self.track.start_time or 0, stream=self.track)
        except PYAV_ERRORS as error:
            raise SourceError(f"{self.path} cannot be read again from its start: {plain_words(error)}") from error


def check_regular(path: str) -> None:
    """A pipe or a device would block the pipeline for ever."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"{path} cannot be opened: {reason}; check the stream's `path`") from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is not a regular file; check the stream's `path`")
    if not status.st_size:
        raise SourceError(f"{path} is empty")
