"""One capture for all streams of a worker that show the same: opened once, until its last user has left.

    the capture's thread: open, read, read, ... close         users, each in a pipeline's thread: newest, newest, ...

What goes from one thread to others is samples, never a VideoFrame: PyAV writes into frames that it is only to read
(colours while it scales, time stamps before it encodes), and gives the frame itself back where nothing is to be scaled.
Each user has frames of his own over the same samples.
"""

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from av.video.frame import VideoFrame
from camfleet.core.log import Log
from camfleet.core.wire import VideoSpec

from ..clockmap import NS_PER_S
from ..codecs import BT709
from .base import SourceError
from .letterbox import Letterbox
from .pace import Pace
from .planes import Plane, frame_over, planes

log = Log("sources")

# For so long the last picture stands, whatever has become of its source, and then nothing is shown: readers see the
# standby picture within two seconds, and none where a program closes one window and opens the next.
STALE_NS = 3 * NS_PER_S // 2

MAX_OPENING_NS = 10 * NS_PER_S  # a webcam may take eight seconds for its first picture
MAX_CLOSING_S = 1.0  # of a Capture
OPENING = "it is still being opened: what it waits for does not answer"
HANGS = "the last capture still hangs, and has to end first; `camfleet replace` of the camera starts without it"


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Picture:
    """A captured picture in YUV 4:2:0, BT.709 of limited range. Once it is given nobody writes to it."""

    samples: Plane  # contiguous: luma, Cb, Cr, as VideoFrame.to_ndarray gives them; width and height are even
    capture_ns: int  # monotonic
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Absence:
    """There is nothing to show for now."""

    reason: str  # empty: not known, as of what has just been opened; why there was no picture before still holds then


NOT_YET = Absence("")


class Capture(Protocol):
    """Belongs to the capture's thread, where it may wait, but no longer than MAX_CLOSING_S, which closing may take."""

    def read(self) -> Picture | Absence:
        """What is to be shown from now on. Raises SourceError, after which it can only be closed."""

    def close(self) -> None: ...


# Opens a capture in its thread, or raises SourceError. It is given what a capture waits with that can make a picture at
# any time: called with the shortest interval between two, it returns when the next one should be begun (or when all
# users have left), and that time. What is captured at a pace of its own does not need it.
WaitUntilDue = Callable[[int], int]
OpenCapture = Callable[[WaitUntilDue], Capture]


class Buffers:
    """Pictures to write into, in memory that was used before: fresh pages cost more than the samples in them."""

    def __init__(self) -> None:
        self._free: deque[Plane] = deque()

    def picture(self, width: int, height: int, capture_ns: int, pixel_aspect: Fraction = Fraction(1)) -> Picture:
        """Its memory is used again as soon as nobody holds the Picture: to hold the samples alone is not enough."""
        shape = (height * 3 // 2, width)
        samples = self._free.popleft() if self._free else None
        if samples is None or samples.shape != shape:
            self._free.clear()
            samples = np.empty(shape, np.uint8)
        picture = Picture(samples, capture_ns, pixel_aspect)
        weakref.finalize(picture, self._free.append, samples).atexit = False
        return picture


class Tap:
    """One user's end of a shared capture; belongs to the user's thread."""

    def __init__(self, shared: "_Shared", interval_ns: int, start_ns: int, stale_ns: int) -> None:
        self.interval_ns = interval_ns
        self.asked_ns = start_ns - interval_ns
        self._shared = shared
        self._start_ns = start_ns
        self._stale_ns = stale_ns

    def newest(self, now_ns: int) -> Picture | Absence:
        """What to show at `now_ns`. Raises SourceError when the capture has failed; then share another one."""
        self.asked_ns = now_ns
        if self._shared.failure is not None:
            text, shown = self._shared.failure
            raise SourceError(text, shown=shown)
        newest = self._shared.newest
        if isinstance(newest, Picture) and now_ns - newest.capture_ns > self._stale_ns:
            return Absence(f"no picture for {self._stale_ns / NS_PER_S:g} seconds")
        if newest is NOT_YET and now_ns - self._start_ns > MAX_OPENING_NS:
            return Absence(OPENING)
        return newest

    def close(self) -> None:
        """Does not wait for the capture, which closes when its last user has left."""
        self._shared.leave(self)


def share(
    key: Hashable, open_capture: OpenCapture, *, interval_ns: int, start_ns: int, stale_ns: int = STALE_NS
) -> Tap:
    """A tap of the capture with this key, which is opened if there is none; pictures are for every `interval_ns`.

    Returns at once: that the capture cannot be opened, `newest` says.
    """
    with _lock:
        shared = _shared.get(key)
        if shared is None or shared.failure or shared.has_ended:
            shared = _shared[key] = _Shared(key, open_capture, shared.thread if shared else None)
        tap = Tap(shared, interval_ns, start_ns, stale_ns)
        shared.taps.append(tap)
        if shared.thread.ident is None:
            shared.thread.start()
    return tap


class _Shared:
    """The thread of a capture, and what it gave last."""

    def __init__(self, key: Hashable, open_capture: OpenCapture, before: threading.Thread | None) -> None:
        self.newest: Picture | Absence = NOT_YET
        self.failure: tuple[str, str] | None = None  # of a SourceError, which itself would hold the capture
        self.taps: list[Tap] = []
        self.has_ended = False  # who comes now gets another one
        self.thread = threading.Thread(target=self._run, args=(before,), name="capture", daemon=True)
        self._key = key
        self._open_capture = open_capture
        self._left = threading.Condition(_lock)
        self._pace = Pace()
        self._began_ns = 0

    def leave(self, tap: Tap) -> None:
        with _lock:
            self.taps.remove(tap)
            self._left.notify()

    def _run(self, before: threading.Thread | None) -> None:
        with self._telling():
            if before is not None:
                self._outlast(before)
            if self._is_wanted():
                with contextlib.closing(self._open_capture(self._wait_until_due)) as capture, self._telling():
                    while self._is_wanted():
                        self._give(capture.read())
        with _lock:
            if _shared.get(self._key) is self:
                del _shared[self._key]

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            self.failure = str(error), error.shown
        except Exception:  # a defect of ours must be told to the users too
            log.exception("capture_broken")
            self.failure = "internal error, see the log", "internal error"

    def _outlast(self, before: threading.Thread) -> None:
        """A device cannot be open twice. However long it takes: users come and go meanwhile, and this thread stays."""
        before.join(MAX_CLOSING_S)
        if before.is_alive():
            self._give(Absence(HANGS))
            before.join()
            self.newest = NOT_YET

    def _is_wanted(self) -> bool:
        with _lock:
            self.has_ended = not self.taps
        return not self.has_ended

    def _give(self, newest: Picture | Absence) -> None:
        if isinstance(newest, Absence) and newest.reason and newest != self.newest:
            log.info("nothing_to_show", reason=newest.reason)
        self.newest = newest

    def _wait_until_due(self, min_interval_ns: int) -> int:
        if self._began_ns:
            self._pace.made(time.monotonic_ns() - self._began_ns)
        with _lock:
            while self.taps:
                fastest = min(self.taps, key=lambda tap: tap.interval_ns)
                begin_ns = self._pace.begin_ns(fastest.asked_ns, fastest.interval_ns, min_interval_ns)
                wait_ns = begin_ns - time.monotonic_ns()
                if wait_ns <= 0:
                    break
                self._left.wait(wait_ns / NS_PER_S)
        self._began_ns = time.monotonic_ns()
        return self._began_ns


_lock = threading.Lock()  # of the captures and their lists of taps
_shared: dict[Hashable, _Shared] = {}


class SharedPictures:
    """The pictures of a shared capture in the size of a stream."""

    colours = BT709
    skipped = 0

    def __init__(
        self,
        key: Hashable,
        open_capture: OpenCapture,
        video: VideoSpec,
        start_ns: int,
        stale_ns: int = STALE_NS,
    ) -> None:
        self.absence = ""  # why there is no picture
        self.shared: Plane | None = None  # as of the picture that is shown
        self._size = video.width, video.height
        self._letterbox = Letterbox(*self._size)
        self._tap = share(key, open_capture, interval_ns=NS_PER_S // video.fps, start_ns=start_ns, stale_ns=stale_ns)
        self._newest: Picture | None = None
        self._shown: VideoFrame | None = None

    def picture(self, _number: int, capture_ns: int) -> VideoFrame | None:
        newest = self._tap.newest(capture_ns)
        if isinstance(newest, Absence):
            if self._newest is None or capture_ns - self._newest.capture_ns > STALE_NS:
                self._newest, self._shown, self.absence = None, None, newest.reason
        elif newest is not self._newest:
            self._newest = newest  # held as long as it is shown: the frame may be over its samples
            self._shown, self.absence = self._fit(newest), ""
        return self._shown

    def close(self) -> None:
        self._tap.close()

    def _fit(self, picture: Picture) -> VideoFrame:
        frame = frame_over(picture.samples)
        fits = (frame.width, frame.height) == self._size and picture.pixel_aspect == 1
        fitted = frame if fits else self._letterbox.fit(frame, picture.pixel_aspect)
        is_over = fitted is frame and np.may_share_memory(planes(frame).luma, picture.samples)
        self.shared = picture.samples if is_over else None
        return fitted
