"""One visit to a server of RTMP, HTTP or UDP: opened and cut into packets by FFmpeg, in the upstream's thread."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import time
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any, cast
from urllib.parse import urlsplit

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from camfleet.core.rtp.depacketizer import ReceivedUnit
from camfleet.core.rtsp.client import Account
from camfleet.core.sdp.parse import VideoTrack
from camfleet.core.wire import NetLive

from ...clockmap import NS_PER_S
from ...codecs import CODECS, H264, H265, AccessUnit, Codec, Description
from ...encoders.errors import PYAV_ERRORS, plain_words
from ..base import SourceError
from ..mediafile import MAX_PIXELS
from ..rtsplive.link import TLSOptions
from ..upstream import Arrival, Interrupt, LeftError, Listener, MediaClock, UnitCompletion
from .datagrams import Datagrams
from .fetch import Address, Fetcher
from .pace import Pace

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 15.0, 10.0
PICTURE_TIMEOUT_S = 30.0  # with pictures, but none to begin with; senders have a key frame every 1 to 10 s
CLOCK_RATE = 90_000
PASSED = {"h264": (H264, "h264_mp4toannexb"), "hevc": (H265, "hevc_mp4toannexb")}
# What FFmpeg may open by itself, and what it may take the bytes for: everything that it could do with a name or a list
# that somebody else wrote is a way into this machine.
PROTOCOLS = {"srt": "srt", "rtmp": "rtmp,tcp", "rtmps": "rtmps,tls,tcp", "udp": "none"}
FORMATS = {
    "srt": "mpegts",
    "rtmp": "flv",
    "rtmps": "flv",
    "udp": "mpegts",
    "http": "mpjpeg,hls,mpegts,flv",
    "https": "mpjpeg,hls,mpegts,flv",
}
HLS_TYPES = frozenset({"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"})
LIMITS = {"max_pixels": str(MAX_PIXELS), "probesize": "1000000", "analyzeduration": "2000000", "max_streams": "16"}


class NetSession:
    """A Session."""

    absence = ""

    def __init__(self, source: NetLive, interrupt: Interrupt, listener: Listener) -> None:
        self.skipped = 0
        self._source = source
        self._interrupt = interrupt
        self._listener = listener
        self._fetcher: Fetcher | None = None
        parts = urlsplit(source.url)
        self._scheme = parts.scheme
        self._place = f"{parts.scheme}://{parts.netloc}"
        # What a call from inside FFmpeg has raised: it only says "I/O error".
        self._failure: BaseException | None = None
        self._patience_s = OPEN_TIMEOUT_S
        self._packet_ns = self._picture_ns = time.monotonic_ns()

    @property
    def refused(self) -> bool:
        return self._fetcher is not None and self._fetcher.refused

    def run(self) -> None:
        self._packet_ns = self._picture_ns = time.monotonic_ns()
        try:
            with ExitStack() as stack:
                self._play(stack.enter_context(self._open(stack)))
        except PYAV_ERRORS as error:
            self._raise_own_failure()
            if isinstance(error, av.error.ProtocolNotFoundError):
                raise SourceError(f"this build of PyAV has no {self._scheme.upper()}") from error
            raise SourceError(f"{self._place} cannot be read: {plain_words(error)}") from error
        self._raise_own_failure()
        raise SourceError(f"{self._place} has ended the stream")

    def _check(self) -> None:
        """With whatever has come: what is no picture is no sign of life."""
        self._interrupt.check()
        now_ns = time.monotonic_ns()
        if now_ns - self._packet_ns > self._patience_s * NS_PER_S:
            raise SourceError(f"{self._place} has sent no picture for {self._patience_s:g} s")
        if now_ns - self._picture_ns > PICTURE_TIMEOUT_S * NS_PER_S:
            wanted = "key frame with its parameter sets"
            raise SourceError(f"{self._place} has sent no {wanted} for {PICTURE_TIMEOUT_S:g} s")

    def _raise_own_failure(self) -> None:
        self._interrupt.check()
        if isinstance(self._failure, SourceError | LeftError):
            raise self._failure

    # ---------------------------------------------------------------- opening

    def _open(self, stack: ExitStack) -> InputContainer:
        """Raises SourceError, LeftError and what PyAV raises. What is to be closed after it goes to the `stack`."""
        if self._scheme in ("http", "https"):
            return self._open_http(stack)
        options = {"protocol_whitelist": PROTOCOLS[self._scheme], "format_whitelist": FORMATS[self._scheme], **LIMITS}
        if self._scheme == "rtmps":
            options |= {"tls_verify": "1" if self._source.verify else "0"}
            if self._source.ca_file:
                options["ca_file"] = self._source.ca_file
        if self._scheme != "udp":
            return self._opened(self._source.url, options)
        datagrams = Datagrams(self._source.url, self._interrupt, READ_TIMEOUT_S)
        stack.callback(datagrams.close)
        return self._opened(_Reported(datagrams, self), options)

    def _open_http(self, stack: ExitStack) -> InputContainer:
        source = self._source
        address = Address.parse(source.url)
        account = Account(source.user, source.password, address.tls or source.basic) if source.user else None
        tls = TLSOptions(verify=source.verify, ca_file=source.ca_file, fingerprint=source.fingerprint)
        self._fetcher = Fetcher(address, tls, account, self._interrupt)
        body = self._fetcher.open(source.url)
        stack.callback(body.close)
        options = {"protocol_whitelist": "http,https", "format_whitelist": FORMATS["http"], **LIMITS}
        if body.content_type in HLS_TYPES or address.target.partition("?")[0].endswith(".m3u8"):
            body.close()
            # A connection for each segment: FFmpeg would keep them by a way around ours.
            options |= {"http_persistent": "0", "http_multiple": "0"}
            return self._opened(source.url, options, format="hls", io_open=self._open_nested)
        form = "mpjpeg" if body.content_type == "multipart/x-mixed-replace" else None
        return self._opened(_Reported(body, self), options, format=form)

    def _open_nested(self, url: str, _flags: int, _options: dict[str, str]) -> Any:
        """From inside FFmpeg: play lists and segments."""
        assert self._fetcher is not None
        try:
            return _Reported(self._fetcher.open(url), self)
        except BaseException as error:
            self._failure = error
            raise

    def _opened(self, file: Any, options: dict[str, str], **more: Any) -> InputContainer:
        container = av.open(file, options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S), **more)
        assert isinstance(container, InputContainer)
        return container

    # ---------------------------------------------------------------- playing

    def _play(self, container: InputContainer) -> None:
        track = container.streams.best("video")
        if not isinstance(track, VideoStream):
            raise SourceError(f"{self._place} has no video")
        name = track.codec.name
        if name in PASSED:
            codec, annex_b = PASSED[name]
            units = self._units(container, track, codec, annex_b)
        else:
            units = self._pictures(container, track, name)
        for arrival in units:
            self._listener.arrived(arrival)
            self._picture_ns = time.monotonic_ns()

    def _packets(self, container: InputContainer, track: VideoStream) -> Iterator[tuple[Packet[VideoStream], int]]:
        """With the time at which each is there to be shown."""
        rate = track.average_rate or track.guessed_rate or Fraction(25)
        time_base = track.time_base or Fraction(1, CLOCK_RATE)
        # Segments and files come as fast as they can; MJPEG has no time but that of its arrival, as live protocols.
        paced = container.format.name in ("hls", "mpegts", "flv") and self._scheme in ("http", "https")
        pace = Pace(time.monotonic_ns(), time_base, 1 / (rate * time_base)) if paced else None
        self._patience_s = READ_TIMEOUT_S
        self._packet_ns = self._picture_ns = time.monotonic_ns()
        # All streams: of those that it is not asked for PyAV says nothing, however long.
        for packet in container.demux():
            self._check()
            if packet.stream_index != track.index or not packet.size:
                continue
            self._packet_ns = now_ns = time.monotonic_ns()
            if pace is not None:
                due_ns = pace.due_ns(packet.dts, packet.duration, now_ns)
                self._interrupt.wait_until(due_ns)
                now_ns = max(now_ns, due_ns)
            yield cast("Packet[VideoStream]", packet), now_ns

    def _units(self, container: InputContainer, track: VideoStream, codec: Codec, annex_b: str) -> Iterator[Arrival]:
        """H.264 and H.265 as from a camera."""
        to_annex_b = BitStreamFilterContext(annex_b, track)
        header = track.codec_context.extradata or b""
        sets = codec.parameter_sets(header) if header.startswith(b"\x00") else ()
        completion = UnitCompletion(VideoTrack(codec.name, 96, "", sets))
        if completion.description is not None:
            self._listener.described(completion.description)
        clock = MediaClock()
        ticks = Fraction(CLOCK_RATE) * (track.time_base or Fraction(1, CLOCK_RATE))
        needs_key_frame = True
        for packet, now_ns in self._packets(container, track):
            stamp = packet.pts if packet.pts is not None else packet.dts
            damaged = packet.is_corrupt
            try:
                data = b"" if damaged else b"".join(bytes(filtered) for filtered in to_annex_b.filter(packet))
            except PYAV_ERRORS:
                data = b""
            types = codec.leading_types(data)
            key_frame = not types.isdisjoint(codec.key_frames)
            if types.isdisjoint(codec.slices) or (needs_key_frame and not key_frame):
                self.skipped += 1
                needs_key_frame = True
                continue
            has_sets = not types.isdisjoint(codec.parameter_types)
            whole = completion.complete(ReceivedUnit(data, 0, key_frame, has_sets, needs_key_frame))
            if whole is None or completion.description is None:
                self.skipped += 1
                continue
            needs_key_frame = False
            capture_ns = clock.place(int(stamp * ticks) % 2**32, now_ns) if stamp is not None else now_ns
            yield Arrival(AccessUnit(whole, capture_ns, key_frame), completion.description)

    def _pictures(self, container: InputContainer, track: VideoStream, name: str) -> Iterator[Arrival]:
        """Other codecs, for a decoder: their units are as FFmpeg has them."""
        if track.width * track.height > MAX_PIXELS:
            size = f"{track.width}x{track.height}"
            raise SourceError(f"{self._place} has pictures of {size}, over the limit of {MAX_PIXELS} pixels")
        assert name not in CODECS
        description = Description(track.width, track.height, float(track.average_rate or 0), (), name)
        for packet, now_ns in self._packets(container, track):
            yield Arrival(AccessUnit(bytes(packet), now_ns, packet.is_keyframe), description)


class _Reported:
    """A file whose failures are remembered, since FFmpeg forgets them."""

    def __init__(self, body: Any, session: NetSession) -> None:
        self._body = body
        self._session = session

    def read(self, size: int) -> bytes:
        try:
            self._session._check()
            return bytes(self._body.read(size))
        except BaseException as error:
            self._session._failure = error
            raise

    def close(self) -> None:
        self._body.close()
