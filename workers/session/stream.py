"""One stream of the camera as its sessions see it: where media comes from, how it is described, how it runs."""

import time
from collections import deque
from collections.abc import Callable

from camfleet.core import sdp
from camfleet.core.ring.stream import MediaStream
from camfleet.core.rtsp.parameters import NO_PARAMETERS, Parameters
from camfleet.core.wire import StreamSpec
from camfleet.core.wire.control import StreamStats
from camfleet.core.wire.succession import StreamNumbers
from camfleet.workers.encoders import needs_card
from camfleet.workers.feed import encodes
from camfleet.workers.pipeline import IDLE, StreamPipeline

# Ticks (seconds) over which bit rate and frame rate are measured: at least one key frame of a usual GOP is inside.
MEASURED_TICKS = 4


def join_mode(spec: StreamSpec) -> str:
    """Of its MediaStream. With an encoder of ours a key frame can be had for every joiner; a pass-through has those of
    its source."""
    return "force" if encodes(spec) else spec.join


class LiveStream:
    def __init__(
        self,
        spec: StreamSpec,
        title: str,
        media: MediaStream,
        pipeline: StreamPipeline,
        unix_time_s: Callable[[], float] = time.time,
        parameters: Parameters = NO_PARAMETERS,
    ) -> None:
        """`parameters`: of the URL at whose wish it was made."""
        self.spec = spec
        self.parameters = parameters
        self.media = media
        self.pipeline = pipeline
        self._title = title
        self._unix_time_s = unix_time_s
        self.described_codec = ""  # of the last session description
        self._described: tuple[object, ...] = ()  # all that the SDP in `_sdp` tells
        self._version = 0
        self._sdp = ""
        self._measured: deque[tuple[int, int, int]] = deque(maxlen=MEASURED_TICKS + 1)
        self._try_encoder()

    def configure(self, spec: StreamSpec, title: str) -> None:
        """Go on with other settings: the same RTP stream for whoever plays it."""
        if (spec, title) != (self.spec, self._title):
            self.spec, self._title = spec, title
            self.media.join = join_mode(spec)
            self.pipeline.reconfigure(spec, camera_name=title)
            self._try_encoder()

    def _try_encoder(self) -> None:
        """An encoder that was asked for by name is tried now, so that the state says when it cannot be had."""
        if self.spec.video is not None and needs_card(self.spec.video):
            self.pipeline.want()
            self.pipeline.unwant()

    @property
    def name(self) -> str:
        """Within the camera; of a variant: "stream1?w=640"."""
        return f"{self.spec.id}?{self.parameters}" if self.parameters else self.spec.id

    @property
    def rests(self) -> bool:
        """It is not made now: nobody has wanted it for as long as it lingers, or there is nothing to make it of."""
        return self.pipeline.state.startswith(("idle", "failed"))

    def session_description(self) -> str | None:
        """SDP with the parameter sets in force; None while the pipeline does not know them."""
        description = self.pipeline.description
        if description is None:
            return None
        bitrate_bps = self.spec.video.bitrate_bps if self.spec.video else 0
        if (described := (description, self._title, bitrate_bps)) != self._described:
            self._described = described
            self.described_codec = description.codec
            # Higher than the last worker's too (RFC 8866 5.2): a client compares over our restarts.
            self._version = max(self._version + 1, int(self._unix_time_s()))
            self._sdp = sdp.describe(
                origin_id=self.media.ssrc,
                version=self._version,
                name=self._title,
                codec=description.codec,
                parameter_sets=description.parameter_sets,
                payload_type=self.media.payload_type,
                fps=description.fps,
                width=description.width,
                height=description.height,
                bitrate_bps=bitrate_bps,
            )
        return self._sdp

    def go_on(self, numbers: StreamNumbers | None = None) -> None:
        """As MediaStream.go_on; what was measured belongs to other numbers."""
        if numbers is not None:
            self._measured.clear()
            if self.pipeline.state == IDLE:
                self.media.codec = numbers.codec  # what clients have been told; one that runs knows better
            self.pipeline.begin_after(numbers.newest_capture_ns)
        self.media.go_on(numbers)

    def tick(self, now_ns: int) -> None:
        """Take one measurement; the caller comes every second."""
        counters = self.media.counters()
        self._measured.append((now_ns, counters.frames, counters.bytes))

    def stats(self, now_ns: int) -> StreamStats:
        fps = bitrate_bps = 0.0
        if len(self._measured) > 1:
            (began_ns, first_frames, first_bytes), (ended_ns, frames, size) = self._measured[0], self._measured[-1]
            seconds = (ended_ns - began_ns) / 1e9
            fps = (frames - first_frames) / seconds
            bitrate_bps = (size - first_bytes) * 8 / seconds
        description, counters = self.pipeline.description, self.media.counters()
        latency = self.media.latency(now_ns)
        return StreamStats(
            id=self.spec.id,
            kind=self.spec.kind,
            state=self.pipeline.state,
            codec=description.codec if description else "",
            width=description.width if description else 0,
            height=description.height if description else 0,
            fps=round(fps, 2),
            bitrate_bps=round(bitrate_bps),
            encoder=self.pipeline.encoder,
            frames=counters.frames,
            key_frames=counters.key_frames,
            latency_p50_ms=round(latency.p50_ns / 1e6, 3),
            latency_p99_ms=round(latency.p99_ns / 1e6, 3),
            video=self.spec.video,
            join=self.media.join,
            linger_s=self.spec.linger_s,
            variant=str(self.parameters),
        )
