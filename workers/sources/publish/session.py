"""Publications, one after the other, as a stream shows them: an upstream that comes to us."""

import contextlib
import os
import select
import time
from dataclasses import replace

from camfleet.core.log import LineLimit, Log
from camfleet.core.wire import Publish

from ...clockmap import NS_PER_S
from ..base import SourceError
from ..upstream import Arrival, Interrupt, Listener, MediaClock, TrackReceiver
from .point import Publication, publishing_point

log = Log("publish")

NOBODY = "nobody publishes"
PART_SIZE = 1 << 20  # of what has come, until units are handed on: they may be many more bytes than their packets
TOO_FAST = "it comes faster than it can be taken, and 8 MB waited: lower its bit rate, or give this machine less to do"


class PublishSession:
    """A Session, which ends with LeftError only: a publication that is no good is closed, and the next one awaited."""

    refused = False

    def __init__(self, source: Publish, interrupt: Interrupt, listener: Listener) -> None:
        self.absence = NOBODY
        self._point = publishing_point(source)
        self._interrupt = interrupt
        self._listener = listener
        self._clock = MediaClock()  # of all publications, so that times only grow
        self._receiver: TrackReceiver | None = None
        self._skipped_before = 0
        self._lines = LineLimit()

    @property
    def skipped(self) -> int:
        return self._skipped_before + (self._receiver.skipped if self._receiver else 0)

    def run(self) -> None:
        ended: Publication | None = None
        while True:
            current = self._point.current
            if current is not None and current is not ended:
                self.absence = self._receive(current)
                ended = current
            else:
                self._wait(None, time.monotonic_ns() + NS_PER_S)

    def _receive(self, publication: Publication) -> str:
        """Until its end; returns why there is nothing to see after it."""
        self._clock.restart()
        try:
            reason = self._follow(publication)
        except SourceError as error:
            reason = str(error)
        finally:
            self._skipped_before, self._receiver = self.skipped, None
        if not reason:
            return NOBODY
        log.warning("publication_ended", peer=publication.peer, reason=reason)
        publication.end()
        return f"{NOBODY}: the last one {reason}"

    def _follow(self, publication: Publication) -> str:
        """Empty: it has ended by itself.

        An RTCP BYE is not the end: rtspclientsink says PAUSE and TEARDOWN after it, and fails when it cannot.
        """
        now_ns = time.monotonic_ns()

        def arrived(arrival: Arrival) -> None:
            publication.shown(time.monotonic_ns())
            self._listener.arrived(arrival)

        listener = replace(self._listener, arrived=arrived)
        receiver = TrackReceiver(publication.track, publication.channels, listener, self._clock, now_ns)
        self._receiver = receiver
        self.absence = ""
        buffer = bytearray()
        told = 0  # of its inlet's overflows
        while True:
            is_on = self._point.current is publication  # looked at before, so that its last pictures are shown
            taken = memoryview(publication.inlet.take())
            now_ns = time.monotonic_ns()
            overflows = publication.inlet.overflows
            if overflows != told and self._lines.suppressed("media_dropped", now_ns) is not None:
                log.warning("media_dropped", peer=publication.peer, reason=TOO_FAST, times=overflows)
                told = overflows
            for start in range(0, len(taken), PART_SIZE):
                self._interrupt.check()
                buffer += taken[start : start + PART_SIZE]
                while buffer and receiver.take_frame(buffer, now_ns):
                    pass
                receiver.deliver(now_ns)
            fault = receiver.fault(now_ns)
            if fault or not is_on:
                return fault if is_on else ""
            if report := receiver.report_frame(now_ns):
                publication.send(report)
            self._wait(publication, min(receiver.due_ns, now_ns + NS_PER_S))

    def _wait(self, publication: Publication | None, deadline_ns: int) -> None:
        """Until something has happened. Raises LeftError."""
        watched = [self._interrupt.fd, self._point.fd]
        if publication is not None:
            watched.append(publication.inlet.fd)
        poll = select.poll()
        for fd in watched:
            poll.register(fd, select.POLLIN)
        poll.poll(max(0, deadline_ns - time.monotonic_ns()) / 1_000_000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._point.fd)
        self._interrupt.check()
