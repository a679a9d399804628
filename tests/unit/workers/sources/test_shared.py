"""The thread of a shared capture, with captures that are played here."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from camfleet.core.wire import VideoSpec
from camfleet.workers.sources import SourceError
from camfleet.workers.sources import shared as module
from camfleet.workers.sources.planes import planes
from camfleet.workers.sources.shared import (
    HANGS,
    OPENING,
    Absence,
    Buffers,
    Picture,
    SharedPictures,
    Tap,
    WaitUntilDue,
    share,
)

from tests.kit.wait import wait_for

MS = 1_000_000


class Played:
    """Gives what `now` is whenever it is asked for, at the users' pace."""

    opened: list["Played"]
    at_first: Picture | Absence | None

    def __init__(self, wait_until_due: WaitUntilDue) -> None:
        self.now: Picture | Absence | Exception | None = Played.at_first
        self.reads = 0
        self.closing, self.closed = threading.Event(), threading.Event()
        self.may_close = threading.Event()
        self.may_close.set()
        self._wait_until_due = wait_until_due
        Played.opened.append(self)

    def read(self) -> Picture | Absence:
        now_ns = self._wait_until_due(0)
        self.reads += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now or painted(self.reads % 200, capture_ns=now_ns)

    def close(self) -> None:
        self.closing.set()
        self.may_close.wait(5.0)
        self.closed.set()


def painted(grey: int, capture_ns: int = 0) -> Picture:
    return Picture(np.full((96, 64), grey, np.uint8), capture_ns)


@pytest.fixture(autouse=True)
def opened() -> Iterator[list[Played]]:
    Played.opened, Played.at_first = [], None
    yield Played.opened
    wait_for(lambda: captures() == 0)


def captures() -> int:
    return len([thread for thread in threading.enumerate() if thread.name == "capture"])


def tap(key: str = "screen", *, fps: int = 50, open_capture: Callable[[WaitUntilDue], Played] = Played) -> Tap:
    return share(key, open_capture, interval_ns=1000 * MS // fps, start_ns=time.monotonic_ns())


def newest(tap: Tap) -> Picture | Absence:
    return tap.newest(time.monotonic_ns())


def test_all_users_see_the_same_pictures_of_one_capture(opened: list[Played]) -> None:
    main, sub = tap(), tap(fps=10)
    wait_for(lambda: isinstance(newest(main), Picture))
    assert newest(main) is newest(sub)
    before = newest(main)
    wait_for(lambda: newest(sub) is not before)
    assert len(opened) == 1
    main.close()
    before = newest(sub)
    wait_for(lambda: newest(sub) is not before)
    assert not opened[0].closed.is_set()
    sub.close()
    assert opened[0].closed.wait(1.0)


def test_other_keys_are_other_captures(opened: list[Played]) -> None:
    taps = [tap("left"), tap("right")]
    wait_for(lambda: len(opened) == 2)
    for each in taps:
        each.close()


def test_it_runs_as_often_as_the_fastest_user_wants_whatever_the_others_do(opened: list[Played]) -> None:
    taps = [tap(fps=fps) for fps in (20, 40, 5)]
    wait_for(lambda: opened and opened[0].reads)
    start, reads = time.monotonic(), opened[0].reads
    wait_for(lambda: opened[0].reads >= reads + 40)
    took_s = time.monotonic() - start
    for each in taps:
        each.close()
    assert 0.9 < took_s < 3.0  # 40 at 40 fps, the first of them late; the upper bound is for a busy machine


def test_a_failure_reaches_every_user_and_the_next_one_opens_anew(opened: list[Played]) -> None:
    taps = [tap(), tap()]
    wait_for(lambda: opened)
    opened[0].now = SourceError("/dev/video0 is gone", shown="the cable is out")
    for each in taps:
        fails_with(each, "/dev/video0 is gone", "the cable is out")
    again = tap()
    wait_for(lambda: isinstance(newest(again), Picture))
    assert len(opened) == 2
    for each in (*taps, again):
        each.close()


def fails_with(tap: Tap, reason: str, shown: str = "the source is not available") -> None:
    def failure() -> tuple[str, str]:
        try:
            newest(tap)
        except SourceError as error:
            return str(error), error.shown
        return "", ""

    wait_for(lambda: failure() == (reason, shown))


def test_what_cannot_be_opened_and_what_breaks_is_told_too() -> None:
    def refuse(_: WaitUntilDue) -> Played:
        raise SourceError("no display :9")

    def break_down(_: WaitUntilDue) -> Played:
        raise ZeroDivisionError

    for open_capture, told in (
        (refuse, ("no display :9", "the source is not available")),
        (break_down, ("internal error, see the log", "internal error")),
    ):
        failed = tap(open_capture=open_capture)
        fails_with(failed, *told)
        failed.close()


def leave_hanging(opened: list[Played]) -> None:
    """A capture that has no users and does not close."""
    only = tap()
    wait_for(lambda: opened)
    opened[0].may_close.clear()
    only.close()
    assert opened[0].closing.wait(1.0)


class OpenLate:
    def __init__(self) -> None:
        self.opening, self.may_open = threading.Event(), threading.Event()

    def __call__(self, wait_until_due: WaitUntilDue) -> Played:
        self.opening.set()
        assert self.may_open.wait(5.0)
        return Played(wait_until_due)


def test_a_device_is_opened_again_only_when_it_is_closed(opened: list[Played]) -> None:
    leave_hanging(opened)
    second = tap()
    third = tap()
    assert newest(second) == Absence("")  # not known: an earlier reason still holds, and is not told anew
    assert len(opened) == 1
    opened[0].may_close.set()
    wait_for(lambda: isinstance(newest(second), Picture))
    assert newest(third) is newest(second)
    assert opened[0].closed.is_set()
    assert len(opened) == 2
    second.close()
    third.close()


def test_who_waits_for_a_capture_that_hangs_is_told_so_and_costs_one_thread(
    opened: list[Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CLOSING_S", 0.02)
    leave_hanging(opened)
    for _ in range(6):
        tap().close()
    last = tap()
    assert captures() == 2
    wait_for(lambda: newest(last) == Absence(HANGS))
    last.close()
    opened[0].may_close.set()
    wait_for(lambda: captures() == 0)
    assert len(opened) == 1  # for nobody it is not opened again


def test_when_the_last_capture_has_ended_it_is_not_to_blame(
    opened: list[Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CLOSING_S", 0.02)
    leave_hanging(opened)
    open_late = OpenLate()
    second = tap(open_capture=open_late)
    wait_for(lambda: newest(second) == Absence(HANGS))
    opened[0].may_close.set()
    assert open_late.opening.wait(1.0)
    assert newest(second) == Absence("")
    open_late.may_open.set()
    wait_for(lambda: isinstance(newest(second), Picture))
    second.close()


def test_who_comes_back_to_a_capture_that_is_still_being_opened_gets_that_one(opened: list[Played]) -> None:
    open_late = OpenLate()
    first = tap(open_capture=open_late)
    assert open_late.opening.wait(1.0)
    first.close()
    for _ in range(6):
        tap(open_capture=open_late).close()
    last = tap(open_capture=open_late)
    assert captures() == 1
    assert newest(last) == Absence("")  # nobody knows yet
    assert last.newest(time.monotonic_ns() + 11_000 * MS) == Absence(OPENING)
    open_late.may_open.set()
    wait_for(lambda: isinstance(newest(last), Picture))
    last.close()
    wait_for(lambda: captures() == 0)
    assert len(opened) == 1


def test_a_failure_does_not_wait_for_the_capture_to_close(opened: list[Played]) -> None:
    only = tap()
    wait_for(lambda: opened)
    opened[0].may_close.clear()
    opened[0].now = SourceError("the cable is out")
    fails_with(only, "the cable is out")
    assert not opened[0].closed.is_set()
    opened[0].may_close.set()
    only.close()


def test_a_user_who_leaves_is_not_held_up_by_a_capture_that_waits(opened: list[Played]) -> None:
    slow = tap(fps=1)
    wait_for(lambda: opened and opened[0].reads == 2)  # now it waits for a second
    start = time.monotonic()
    slow.close()
    assert opened[0].closed.wait(5.0)
    assert time.monotonic() - start < 0.5


def test_an_old_picture_is_none(opened: list[Played]) -> None:
    stale = tap()
    wait_for(lambda: opened)
    opened[0].now = painted(1, capture_ns=time.monotonic_ns())
    wait_for(lambda: newest(stale) is opened[0].now)
    found = stale.newest(time.monotonic_ns() + 2000 * MS)
    assert found == Absence("no picture for 1.5 seconds")
    stale.close()


def test_the_last_picture_stands_for_a_while_whatever_has_become_of_the_source(opened: list[Played]) -> None:
    with pictures(64) as shown:
        wait_for(lambda: shown.picture(0, time.monotonic_ns()) is not None)
        last = opened[0].now = painted(1, capture_ns=time.monotonic_ns())
        wait_for(lambda: newest(shown._tap) is last)
        assert shown.picture(1, last.capture_ns) is not None
        opened[0].now = Absence("it is minimised")
        wait_for(lambda: newest(shown._tap) is opened[0].now)
        assert shown.picture(2, last.capture_ns + 1450 * MS) is shown.picture(1, last.capture_ns)
        assert shown.absence == ""
        assert shown.picture(3, last.capture_ns + 1550 * MS) is None
        assert shown.absence == "it is minimised"
        opened[0].now = None
        wait_for(lambda: shown.picture(4, time.monotonic_ns()) is not None)
        assert shown.absence == ""


def pictures(width: int, height: int = 64) -> contextlib.closing[SharedPictures]:
    video = VideoSpec(width=width, height=height, fps=30)
    return contextlib.closing(SharedPictures("screen", Played, video, time.monotonic_ns()))


def test_pictures_for_a_stream_are_fitted_once_each(opened: list[Played]) -> None:
    Played.at_first = Absence("it is minimised")
    with pictures(64) as same, pictures(32, 32) as half:
        wait_for(lambda: same.picture(0, time.monotonic_ns()) is None and same.absence == "it is minimised")
        given = painted(200, time.monotonic_ns())
        given.samples[64:] = 90
        given.samples[:64, :32] = 100
        opened[0].now = given
        wait_for(lambda: same.picture(1, given.capture_ns) is not None)
        full, small = same.picture(2, given.capture_ns), half.picture(2, given.capture_ns)
        assert full is not None
        assert small is not None
        assert same.absence == ""
        assert full is same.picture(3, given.capture_ns)
        assert small is half.picture(3, given.capture_ns)
        assert full.planes[0].buffer_ptr == given.samples.ctypes.data  # nothing was copied
        assert np.array_equal(full.to_ndarray(), given.samples)
        assert (small.width, small.height) == (32, 32)
        assert {tuple(row) for row in small.to_ndarray()[:32, [2, 29]]} == {(100, 200)}


def test_a_picture_with_other_pixels_gets_bars() -> None:
    Played.at_first = Picture(painted(180).samples, time.monotonic_ns(), pixel_aspect=Fraction(2))
    with pictures(64) as wide:
        wait_for(lambda: wide.picture(0, time.monotonic_ns()) is not None)
        frame = wide.picture(1, time.monotonic_ns())
        assert frame is not None
        assert frame.to_ndarray()[[2, 32, 61], 30].tolist() == [16, 180, 16]


def test_buffers_are_used_again_when_nobody_holds_the_picture() -> None:
    buffers = Buffers()
    first, second = buffers.picture(64, 32, 1), buffers.picture(64, 32, 2)
    address = first.samples.ctypes.data
    assert second.samples.ctypes.data != address
    del first
    third = buffers.picture(64, 32, 3)
    assert third.samples.ctypes.data == address
    assert third.samples.shape == (48, 64)
    del second
    assert buffers.picture(32, 32, 4).samples.shape == (48, 32)


@pytest.mark.parametrize(
    ("size", "pixel_aspect", "is_shared"),
    [((64, 64), 1, True), ((64, 64), Fraction(101, 100), False), ((64, 64), 2, False), ((32, 32), 1, False)],
)
@pytest.mark.usefixtures("opened")
def test_who_has_samples_of_its_own_is_told_so(
    size: tuple[int, int], pixel_aspect: int | Fraction, is_shared: bool
) -> None:
    Played.at_first = captured = Picture(np.full((96, 64), 50, np.uint8), time.monotonic_ns(), Fraction(pixel_aspect))
    with pictures(*size) as mine:
        wait_for(lambda: mine.picture(0, time.monotonic_ns()) is not None)
        frame = mine.picture(0, captured.capture_ns)
        assert frame is not None
        planes(frame).luma[:] = 200
        assert (mine.shared is captured.samples) == is_shared == bool((captured.samples[:64] == 200).all())
        assert is_shared or mine.shared is None


@pytest.mark.usefixtures("opened")
def test_of_a_height_that_has_to_be_copied_anyway_a_stream_has_samples_of_its_own() -> None:
    Played.at_first = captured = Picture(np.full((90 * 3 // 2, 64), 50, np.uint8), time.monotonic_ns())
    with pictures(64, 90) as mine:
        wait_for(lambda: mine.picture(0, time.monotonic_ns()) is not None)
        frame = mine.picture(0, captured.capture_ns)
        assert frame is not None
        planes(frame).luma[:] = 200
        assert mine.shared is None
        assert (captured.samples == 50).all()


def test_streams_in_threads_of_their_own_write_into_no_frame_of_another(opened: list[Played]) -> None:
    """What crashes with one VideoFrame for both: scaling it while another thread scales and encodes it."""
    ended, wrong = threading.Event(), []

    def use(width: int) -> None:
        number = 0
        with pictures(width, width) as mine:
            while not ended.is_set():
                frame = mine.picture(number, time.monotonic_ns())
                if frame is None:
                    continue
                frame.pts = number = number + 1
                rows = frame.to_ndarray()[:width]
                if frame.pts != number or rows.min() != rows.max():
                    wrong.append(number)
        wrong.extend([] if number > 50 else [-1])

    threads = [threading.Thread(target=use, args=(width,)) for width in (64, 64, 48, 32)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: opened and opened[0].reads > 40)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []
