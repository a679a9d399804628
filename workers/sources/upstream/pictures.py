"""An upstream's pictures, decoded once for all streams that encode them anew."""

import threading
import time

from camfleet.core.wire import Source

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..decoded import PictureCopier, UnitDecoder
from ..shared import STALE_NS, Absence, Picture
from .subscription import OpenSession, subscribe

MAX_WAIT_NS = NS_PER_S // 2
MAX_CATCH_UP_NS = NS_PER_S // 10  # of decoding before a picture is shown, though more of them wait
LATE_NS = NS_PER_S // 2  # what is older is left out as soon as a key frame waits behind it
PICTURE_STALE_NS = 4 * NS_PER_S + STALE_NS  # nothing is shown for longer: one picture in four seconds may be late


class UpstreamCapture:
    """A Capture. Of an upstream with few pictures the last one stands until the next."""

    def __init__(self, source: Source, open_session: OpenSession) -> None:
        self._come = threading.Event()
        self._subscription = subscribe(source, open_session, self._come.set)
        self._copier = PictureCopier()
        self._decoder: UnitDecoder | None = None
        self._codec = ""
        self._last: Picture | None = None
        self._stands_until_ns = 0

    def read(self) -> Picture | Absence:
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + MAX_WAIT_NS
        if now_ns < self._stands_until_ns:
            deadline_ns = min(deadline_ns, self._stands_until_ns)
        while (wait_ns := deadline_ns - time.monotonic_ns()) > 0:
            picture = self._next()
            if picture is not None:
                # Twice its rhythm is waited for, as where the upstream is passed through.
                rhythm_ns = picture.capture_ns - self._last.capture_ns if self._last else 0
                self._stands_until_ns = picture.capture_ns + min(max(2 * rhythm_ns, STALE_NS), PICTURE_STALE_NS)
                self._last = picture
                return picture
            if self._subscription:
                continue
            if self._subscription.failure:
                raise SourceError(self._subscription.failure)
            self._come.wait(wait_ns / NS_PER_S)
            self._come.clear()
        absence = self._subscription.absence
        if self._last is not None and not absence:
            if time.monotonic_ns() < self._stands_until_ns:
                return self._last
            absence = "no picture from the upstream any more"
        return Absence(absence)

    def close(self) -> None:
        self._subscription.close()

    def _next(self) -> Picture | None:
        """The newest picture of what has arrived: all of it is decoded, only the last is shown.

        A decoder that is slower than the upstream never comes to the end; then it is the newest after a while.
        """
        began_ns = time.monotonic_ns()
        self._subscription.catch_up(began_ns - LATE_NS)
        newest, decoder = None, self._decoder
        while (arrival := self._subscription.take()) is not None:
            if decoder is None or arrival.description.codec != self._codec:
                self._codec = arrival.description.codec
                decoder = self._decoder = UnitDecoder(self._codec)
            newest = next(reversed(decoder.decode(arrival.unit)), newest)
            if time.monotonic_ns() - began_ns > MAX_CATCH_UP_NS:
                break
        if newest is None or decoder is None:
            return None
        return self._copier.copy(newest, newest.pts or time.monotonic_ns(), decoder.pixel_aspect)
