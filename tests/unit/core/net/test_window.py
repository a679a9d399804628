"""How many frames the engine keeps: the newest group of pictures for joiners, of older ones what readers still need."""

import contextlib
import socket
from collections.abc import Callable

from camfleet.core.net.fanout import Ready, live_objects

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.engine import Rig

GROUP = 15  # frames
STEP_NS = 100_000_000  # from frame to frame: half a second is 5 of them, the lag that is allowed 20
HOUR_NS = 3_600_000_000_000
SIZE = 500_000
HUGE = 8_000_000  # no socket takes it at once: SEND_BUFFER_MAX, or without the privilege for that 4 MiB (tcp_wmem)


def push(rig: Rig, count: int = GROUP, size: int = SIZE) -> None:
    """A key frame and what belongs to it, at once, in a time of its own."""
    for number in range(count):
        make = access_unit if number else key_access_unit
        at_ns = rig.began_ns - HOUR_NS + rig.number * STEP_NS
        rig.stream.push(make(rig.number, size), at_ns, at_ns)
        rig.number += 1


def play(rig: Rig, receive_buffer: int | None = None, size: int = SIZE) -> socket.socket:
    """From the first frames on, which are of this size."""
    client, sock = rig.connect(receive_buffer)
    rig.engine.prepare(client, rig.stream, 0, 1)
    push(rig, 2, size)
    rig.event(Ready)
    rig.engine.play(client, b"RTSP/1.0 200 OK\r\n\r\n")
    return sock


def frames_sent(rig: Rig) -> int:
    return next(rig.engine.readers()).frames_sent


def keeps(rig: Rig, blocks: int) -> None:
    rig.until(lambda: live_objects().blocks == blocks)


def test_the_newest_group_is_kept(rig: Rig) -> None:
    push(rig)
    keeps(rig, GROUP)


def test_the_group_before_goes_half_a_second_later_when_nobody_needs_it(rig: Rig) -> None:
    push(rig)
    push(rig, 1)
    keeps(rig, 6)
    push(rig, 8)
    keeps(rig, 8)


def test_a_reader_that_lags_finds_it_still_there(make_rig: Callable[..., Rig]) -> None:
    """For as long as it may lag. The frame that is half sent is kept too."""
    rig = make_rig(max_lag_s=2.0)
    play(rig, receive_buffer=4096, size=HUGE)
    # Stuck in its first frame: else two seconds of frames that come at once are ahead of it before it has its turn.
    rig.until(lambda: frames_sent(rig) == 1)
    push(rig)
    push(rig, 1)
    push(rig)
    keeps(rig, 21 + 1)
    assert frames_sent(rig) == 1


def test_who_takes_everything_holds_nothing_back(rig: Rig) -> None:
    sock = play(rig)
    sock.setblocking(False)

    def has_taken_all() -> bool:
        with contextlib.suppress(BlockingIOError):
            sock.recv(1 << 20)
        return frames_sent(rig) == rig.number

    for _ in range(20):
        push(rig, 1)
        rig.until(has_taken_all)
    keeps(rig, 6)
