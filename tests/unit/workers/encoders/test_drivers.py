"""Calls into drivers that do not come back. A driver here waits until the test lets it go."""

import threading
from collections.abc import Callable, Iterator

import pytest
from camfleet.workers.encoders import EncoderError, drivers
from camfleet.workers.encoders.drivers import DriverThread, in_turn

from tests.kit.wait import wait_for

NAME = "h264_card"
SHORT_S, LONG_S = 0.05, 10.0


class Gate:
    """A call that returns when it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.open = self._open.set

    def __call__(self) -> str:
        assert self._open.wait(LONG_S)
        return "late"


@pytest.fixture
def start() -> Iterator[Callable[[], DriverThread]]:
    """Of the same encoder each time."""
    threads: list[DriverThread] = []

    def started() -> DriverThread:
        threads.append(DriverThread(NAME))
        return threads[-1]

    yield started
    for thread in threads:
        thread.end()
    wait_for(lambda: all(thread.name != NAME for thread in threading.enumerate()))
    assert not drivers._hanging


def hang(thread: DriverThread) -> Gate:
    gate = Gate()
    with pytest.raises(EncoderError, match=r"h264_card: no answer of the driver within 0\.05 s"):
        thread.call(gate, SHORT_S)
    return gate


def test_only_the_call_that_hangs_ends_the_hanging(start: Callable[[], DriverThread]) -> None:
    """Another stream's calls go on, and say nothing about it."""
    first, second = start(), start()
    gate = hang(first)
    assert second.call(lambda: 5, LONG_S) == 5
    with pytest.raises(EncoderError, match="h264_card: another call of the driver still hangs"):
        start()
    gate.open()
    assert first.call(lambda: 6, LONG_S) == 6
    start()


def test_all_that_hang_must_have_come_back(start: Callable[[], DriverThread]) -> None:
    first, second = start(), start()
    gates = hang(first), hang(second)
    gates[1].open()
    second.call(lambda: None, LONG_S)
    with pytest.raises(EncoderError, match="another call of the driver still hangs"):
        start()
    gates[0].open()
    first.call(lambda: None, LONG_S)
    start()


def test_what_is_opened_in_turn_waits_for_what_is_given_back(start: Callable[[], DriverThread]) -> None:
    """But not for ever."""
    for timeout_s, closed_before in ((LONG_S, True), (SHORT_S, False)):
        gate, closed = Gate(), threading.Event()

        def close(gate: Gate = gate, closed: threading.Event = closed) -> None:
            gate()
            closed.set()

        start().give_back(close, timeout_s)
        opening = in_turn(closed.is_set)
        if closed_before:
            with pytest.raises(TimeoutError):
                opening.result(SHORT_S)
            gate.open()
        assert opening.result(LONG_S) is closed_before
        gate.open()
        wait_for(lambda: not drivers._hanging)


def test_one_who_has_given_up_has_no_turn() -> None:
    gate, called = Gate(), threading.Event()
    in_turn(gate)
    abandoned, last = in_turn(called.set), in_turn(lambda: 7)
    assert abandoned.cancel()
    gate.open()
    assert last.result(LONG_S) == 7
    assert not called.is_set()
