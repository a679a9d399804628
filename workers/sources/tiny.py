"""The smallest film there is: 16x16 pixels of grey."""

from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet

FPS = 1000
SIZE = 16
GROUP = 8  # pictures from one key frame to the next
_KEY_FRAME = bytes.fromhex(
    "000000016742c00ada7a10000003001000000303c8f1226a"  # SPS: Constrained Baseline, level 1
    "0000000168ce0fc8"  # PPS
    "000000016588843a2780"  # an IDR slice of one macroblock
)
_SAME_AGAIN = bytes.fromhex("00000001419a202694")  # a P slice that skips it


def write_tiny_film(path: Path) -> None:
    """Two groups of pictures as MP4, a thousand a second."""
    with av.open(str(path), "w") as film:
        track = film.add_mux_stream("h264", rate=FPS, width=SIZE, height=SIZE)
        for number in range(2 * GROUP):
            is_key_frame = number % GROUP == 0
            packet = Packet(_KEY_FRAME if is_key_frame else _SAME_AGAIN)
            packet.stream, packet.time_base = track, Fraction(1, FPS)
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, is_key_frame
            film.mux(packet)
