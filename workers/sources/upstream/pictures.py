"""An upstream's pictures, decoded once for all streams that encode them anew."""

import threading
import time

from camfleet.core.wire import Source

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..decoded import PictureCopier, UnitDecoder
from ..shared import Absence, Picture
from .subscription import OpenSession, subscribe

MAX_WAIT_S = 0.5


class UpstreamCapture:
    """A Capture."""

    def __init__(self, source: Source, open_session: OpenSession) -> None:
        self._come = threading.Event()
        self._subscription = subscribe(source, open_session, self._come.set)
        self._copier = PictureCopier()
        self._decoder: UnitDecoder | None = None
        self._codec = ""

    def read(self) -> Picture | Absence:
        deadline_ns = time.monotonic_ns() + round(MAX_WAIT_S * NS_PER_S)
        while (wait_ns := deadline_ns - time.monotonic_ns()) > 0:
            picture = self._next()
            if picture is not None:
                return picture
            if self._subscription.failure:
                raise SourceError(self._subscription.failure)
            self._come.wait(wait_ns / NS_PER_S)
            self._come.clear()
        return Absence(self._subscription.absence or "no picture from the upstream")

    def close(self) -> None:
        self._subscription.close()

    def _next(self) -> Picture | None:
        """The newest picture of what has arrived: all of it is decoded, only the last is shown."""
        newest, decoder = None, self._decoder
        while (arrival := self._subscription.take()) is not None:
            if decoder is None or arrival.description.codec != self._codec:
                self._codec = arrival.description.codec
                decoder = self._decoder = UnitDecoder(self._codec)
            newest = decoder.decode(arrival.unit) or newest
        if newest is None or decoder is None:
            return None
        return self._copier.copy(newest, newest.pts or time.monotonic_ns(), decoder.pixel_aspect)
