"""An upstream's pictures, decoded once for all streams that encode them anew."""

import threading
import time

from camfleet.core.wire import Source

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..decoded import PictureCopier, UnitDecoder
from ..shared import Absence, Picture
from .subscription import OpenSession, subscribe

MAX_WAIT_NS = NS_PER_S // 2  # with what the pipeline waits then, the standby picture is there within two seconds
MAX_CATCH_UP_NS = NS_PER_S // 10  # of decoding before a picture is shown, though more of them wait
LATE_NS = NS_PER_S // 2  # what is older is left out as soon as a key frame waits behind it
PICTURE_STALE_NS = 4 * NS_PER_S  # nothing is shown for longer


class UpstreamCapture:
    """A Capture. Of an upstream with few pictures the last one stands until the next."""

    def __init__(self, source: Source, open_session: OpenSession) -> None:
        self._come = threading.Event()
        self._subscription = subscribe(source, open_session, self._come.set)
        self._copier = PictureCopier()
        self._decoder: UnitDecoder | None = None
        self._codec = ""
        self._last: Picture | None = None
        self._rhythm_ns = 0

    def read(self) -> Picture | Absence:
        deadline_ns = time.monotonic_ns() + MAX_WAIT_NS
        while (wait_ns := deadline_ns - time.monotonic_ns()) > 0:
            picture = self._next()
            if picture is not None:
                self._rhythm_ns = picture.capture_ns - self._last.capture_ns if self._last else 0
                self._last = picture
                return picture
            if self._subscription:
                continue
            if self._subscription.failure:
                raise SourceError(self._subscription.failure)
            self._come.wait(wait_ns / NS_PER_S)
            self._come.clear()
        absence = self._subscription.absence
        if not absence and self._last is not None:
            # Twice its rhythm is waited for, as where the upstream is passed through.
            stands_until_ns = self._last.capture_ns + min(2 * self._rhythm_ns, PICTURE_STALE_NS)
            if time.monotonic_ns() < stands_until_ns:
                return self._last
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
