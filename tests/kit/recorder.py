"""A reader that keeps what it is sent."""

from collections.abc import Iterator
from typing import Any

from tests.kit.rtsp_client import DEFAULT_TIMEOUT_S, InterleavedFrame, RTSPClient
from tests.reference import h265, rtp

REFERENCES = {"h264": rtp, "h265": h265}


class Recorder(RTSPClient):
    """Keeps the RTP packets of the media."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.packets: list[rtp.Packet] = []

    def frames(self, seconds: float = DEFAULT_TIMEOUT_S) -> Iterator[InterleavedFrame]:
        for frame in super().frames(seconds):
            if frame.channel == 0:
                self.packets.append(rtp.packet(0, frame.payload))
            yield frame

    def record(self, count: int, seconds: float = 20) -> None:
        """So many access units, if they come in time."""
        for frame in self.frames(seconds):
            count -= frame.channel == 0 and self.packets[-1].marker
            if not count:
                return

    def units(self, codec: str = "h264") -> list[rtp.AccessUnit]:
        """All that has come; asserts that the packets are as they have to be."""
        found: list[rtp.AccessUnit] = REFERENCES[codec].depacketize(self.packets)
        return found
