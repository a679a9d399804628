"""One stream's media: a thread that runs only while somebody wants it, from the feed to the sink.

         want                 first access unit                 unwanted for linger_s
    idle ----> starting ----> running --------------------------------------------> idle
                  ^              | the source or the encoder fails, or other settings need another feed
                  +-- back-off --+---> failed: why   (idle again only by a new attempt)

The sink stays the same over all restarts, capture times only grow, and each feed begins with a key frame: readers see
one RTP stream with a pause in it.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from camfleet.core.log import Log
from camfleet.core.memory import give_back
from camfleet.core.wire import StreamSpec

from .clockmap import NS_PER_S
from .codecs import Description
from .encoders import EncoderError
from .feed import adapt, encodes, open_feed
from .sources import Feed, Place, SourceError

log = Log("pipeline")

FIRST_RETRY_NS, LAST_RETRY_NS = NS_PER_S // 2, 8 * NS_PER_S
PROVEN_NS = 10 * NS_PER_S  # who ran for so long begins again with the first back-off

IDLE, STARTING, RUNNING, FAILED = "idle", "starting", "running", "failed: "


class Sink(Protocol):
    """What a pipeline needs of core.ring.stream.MediaStream."""

    codec: str

    def push(self, access_unit: bytes | memoryview, capture_ns: int, due_ns: int, /) -> int:
        """Raises ValueError on a malformed access unit."""

    def take_key_frame_request(self) -> bool: ...


class StreamPipeline:
    """May be used from any thread. Does nothing until the first `want`."""

    def __init__(
        self,
        stream: StreamSpec,
        sink: Sink,
        *,
        title: str,
        camera_name: str = "",
        unix_offset_ns: int,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        """`title` is shown in test patterns and names the stream in logs, as in "ipc1-stream1".

        `changed` is called, from the pipeline's thread, after each change of `state` or `description`, until `stop`.
        """
        self._stream = stream
        self._sink = sink
        self._title = title
        self._place = Place(title, camera_name, unix_offset_ns, self._wake)
        self._changed = changed
        self._condition = threading.Condition()
        # Guarded by the condition; `_thread` is None when none runs, and is cleared by the thread itself. A StreamSpec
        # is compared by identity: another object is a new order.
        self._wanted = 0
        self._linger_until_ns = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._state = IDLE
        self._description: Description | None = None
        self._encoder = ""
        # The thread's own, kept from one to the next.
        self._tried = stream  # what the two below are about
        self._retry_at_ns = 0
        self._back_off_ns = FIRST_RETRY_NS
        self._next_capture_ns = 0  # a new feed's times begin no earlier

    # ---------------------------------------------------------------- any thread

    @property
    def state(self) -> str:
        """One of "idle", "starting", "running", "failed: why"."""
        return self._state

    @property
    def description(self) -> Description | None:
        """For DESCRIBE. Known from the first start; None again after a failure, and while a pass-through is idle."""
        return self._description

    @property
    def encoder(self) -> str:
        """The encoder in use, or "pass-through"; empty before the first start."""
        return self._encoder

    def want(self) -> None:
        """Somebody needs the stream; each call is paired with an `unwant`."""
        with self._condition:
            self._wanted += 1
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name=f"pipeline {self._title}", daemon=True)
                self._thread.start()

    def unwant(self) -> None:
        with self._condition:
            self._wanted -= 1
            if not self._wanted:
                self._linger_until_ns = time.monotonic_ns() + round(self._stream.linger_s * NS_PER_S)
                self._condition.notify()

    def reconfigure(self, stream: StreamSpec) -> None:
        """Go on with these settings, at once if the stream runs. Only a feed that cannot follow is opened anew."""
        with self._condition:
            before, self._stream = self._stream, stream
            if self._thread is None and (before.source, before.video) != (stream.source, stream.video):
                self._state, self._description, self._encoder = IDLE, None, ""
            self._condition.notify()

    def rehearse(self) -> None:
        """Open a feed and close it again, in this thread. Raises SourceError and EncoderError."""
        open_feed(self._place, self._stream, time.monotonic_ns()).close()

    def begin_after(self, capture_ns: int) -> None:
        """Capture times go on after those of another process."""
        self._next_capture_ns = max(self._next_capture_ns, capture_ns + NS_PER_S // 1000)

    def stop(self) -> None:
        """For good, within the time of one frame; does not wait for it."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread after `stop`; whether it has ended."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._has_ended():
            if self._sleep_until(lambda: self._retry_at_ns if self._stream is self._tried else 0):
                try:
                    self._attempt()
                except (SourceError, EncoderError) as error:
                    self._fail(str(error))
                except Exception:  # a defect of ours must not take the camera's other streams with it
                    log.exception("pipeline_broken", stream=self._title)
                    self._fail("internal error, see the log")
                give_back()

    def _has_ended(self) -> bool:
        """Decided together with forgetting the thread: a `want` after it starts another one."""
        with self._condition:
            if self._needed(time.monotonic_ns()):
                return False
            self._thread = None
            if not self._state.startswith(FAILED):
                self._state = IDLE
                if not encodes(self._stream):
                    self._description = None  # another file may stand there next time; what we encode stays as it is
        self._tell()
        return True

    def _tell(self) -> None:
        if not self._stopping:
            self._changed()

    def _needed(self, now_ns: int) -> bool:
        return not self._stopping and (self._wanted > 0 or now_ns < self._linger_until_ns)

    def _sleep_until(self, due: Callable[[], int]) -> bool:
        """False, at once, when the thread is not needed any more."""
        with self._condition:
            while self._needed(now_ns := time.monotonic_ns()):
                wait_ns = due() - now_ns
                if wait_ns <= 0:
                    return True
                self._condition.wait(min(wait_ns / NS_PER_S, threading.TIMEOUT_MAX))
        return False

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def _attempt(self) -> None:
        """Run the feed until nobody needs it or it fails."""
        self._state = STARTING
        if self._stream is not self._tried:
            self._take_settings()
        began_ns = time.monotonic_ns()
        feed = open_feed(self._place, self._tried, max(began_ns, self._next_capture_ns))
        try:
            self._tell_of(feed)
            self._run_feed(feed)
        finally:
            feed.close()
            if time.monotonic_ns() - began_ns > PROVEN_NS:
                self._back_off_ns = FIRST_RETRY_NS

    def _take_settings(self) -> StreamSpec:
        """The newest become those that are tried; returns the ones before."""
        before, self._tried = self._tried, self._stream
        self._back_off_ns = FIRST_RETRY_NS
        return before

    def _tell_of(self, feed: Feed) -> None:
        self._description, self._encoder = feed.description, feed.encoder
        if feed.description is not None:
            self._sink.codec = feed.description.codec
        self._tell()

    def _run_feed(self, feed: Feed) -> None:
        """Until nobody needs it or the settings ask for another one."""
        begun, rejected, report_at = False, 0, 1
        while self._sleep_until(lambda: feed.due_ns if self._stream is self._tried else 0):
            if self._stream is not self._tried:
                before = self._take_settings()
                if not adapt(feed, before, self._tried):
                    return
                continue
            units = feed.read(time.monotonic_ns(), self._sink.take_key_frame_request())
            if (feed.description, feed.encoder) != (self._description, self._encoder):
                self._tell_of(feed)
            for unit in units:
                begun |= unit.key_frame
                if not begun:
                    continue
                try:
                    self._sink.push(unit.data, unit.capture_ns, max(unit.due_ns, time.monotonic_ns()))
                except ValueError:  # malformed; nothing of it was sent
                    rejected += 1
                    continue
                self._next_capture_ns = max(self._next_capture_ns, unit.capture_ns + NS_PER_S // 1000)
                if self._state == STARTING:
                    self._state = RUNNING
                    self._tell()
            if feed.skipped + rejected >= report_at:
                log.warning("access_units_skipped", stream=self._title, count=feed.skipped + rejected)
                report_at *= 10

    def _fail(self, reason: str) -> None:
        """Try again after the back-off, if then somebody still wants it."""
        with self._condition:
            self._linger_until_ns = 0
        self._retry_at_ns = time.monotonic_ns() + self._back_off_ns
        log.warning("stream_failed", stream=self._title, reason=reason, retry_s=self._back_off_ns / NS_PER_S)
        self._back_off_ns = min(2 * self._back_off_ns, LAST_RETRY_NS)
        self._state, self._description = FAILED + reason, None
        self._tell()
