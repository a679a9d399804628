"""One stream's media: a thread that runs only while somebody wants it, from the feed to the sink.

         want                first key frame                unwanted for linger_s
    idle ----> starting ----> running -----------------------------------------> idle
                  |            |   ^
                  | no picture |   | key frame
                  v            v   |
                standby: why, with a slate              (without: failed: why)

A feed that fails is opened again after a back-off. The sink stays the same over all of it, capture times only grow, and
wherever the pictures change their origin they begin with a key frame: readers see one RTP stream.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from camfleet.core.log import Log
from camfleet.core.memory import give_back
from camfleet.core.wire import StreamSpec, VideoSpec

from .clockmap import NS_PER_S
from .codecs import AccessUnit, Description
from .encoders import EncoderError
from .feed import adapt, encodes, open_feed
from .sources import Feed, Lineup, Place, SourceError, UpstreamPassThrough
from .standby import SILENT, Shape, Standby

log = Log("pipeline")

FIRST_RETRY_NS, LAST_RETRY_NS = NS_PER_S // 2, 2 * NS_PER_S  # a source that is back is seen within three seconds
KEY_FRAME_TIMEOUT_S = 5.0  # cameras have one every second or two, and the one who serves waits for us
PROVEN_NS = 10 * NS_PER_S  # who ran for so long begins again with the first back-off

IDLE, STARTING, RUNNING, STANDBY, FAILED = "idle", "starting", "running", "standby: ", "failed: "


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
        lineup: Lineup | None = None,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        """`title` is shown in test patterns and names the stream in logs, as in "ipc1-stream1".

        `changed` is called, from the pipeline's thread, after each change of `state` or `description`, until `stop`.
        """
        self._stream = stream
        self._sink = sink
        self._title = title
        self._place = Place(title, camera_name, unix_offset_ns, self._wake, lineup or Lineup())
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
        self._feed: Feed | None = None
        self._tried = stream  # the settings that all of this is about
        self._known: Description | None = None  # what the source last was
        self._standby = Standby(title, stream.standby)
        self._opened_ns = 0
        self._retry_at_ns = 0
        self._back_off_ns = FIRST_RETRY_NS
        self._next_capture_ns = 0  # nothing that begins, begins earlier
        # Of the open feed.
        self._begun = False  # its key frame has been pushed, and no slate since
        self._shift_ns = 0  # what is added to its times, so that they come after the slate's
        self._rejected, self._report_at = 0, 1
        self._outgoing: tuple[Feed, int] | None = None  # the one before, as long as it is still shown, and its shift

    # ---------------------------------------------------------------- any thread

    @property
    def state(self) -> str:
        """One of "idle", "starting", "running", "standby: why", "failed: why"."""
        return self._state

    @property
    def description(self) -> Description | None:
        """What DESCRIBE says. None before the first start, after a failure, and while a pass-through is idle."""
        return self._description

    @property
    def encoder(self) -> str:
        """The encoder in use, or "pass-through"; empty before the first start."""
        return self._encoder

    @property
    def has_source(self) -> bool:
        """Whether one is open, with or without a picture; if not, it has failed, or nobody has wanted it."""
        return self._feed is not None

    def want(self) -> None:
        """Somebody needs the stream; each call is paired with an `unwant`."""
        with self._condition:
            self._wanted += 1
            if self._thread is None and not self._stopping:
                if self._state.startswith(FAILED):  # who has come just now is not to be told of it
                    self._state = STARTING
                self._thread = threading.Thread(target=self._run, name=f"pipeline {self._title}", daemon=True)
                self._thread.start()

    def unwant(self) -> None:
        with self._condition:
            self._wanted -= 1
            if not self._wanted:
                self._linger_until_ns = time.monotonic_ns() + round(self._stream.linger_s * NS_PER_S)
                self._condition.notify()

    def reconfigure(self, stream: StreamSpec, camera_name: str) -> None:
        """Go on with these settings, at once if the stream runs. Only a feed that cannot follow is opened anew."""
        with self._condition:
            self._place = replace(self._place, camera_name=camera_name)
            before, self._stream = self._stream, stream
            if self._thread is None and (before.source, before.video) != (stream.source, stream.video):
                self._state, self._description, self._encoder = IDLE, None, ""
            self._condition.notify()

    def rehearse(self) -> None:
        """Open a feed and close it again, in this thread, before the first `want`. Raises SourceError and EncoderError.

        An upstream that has a key frame by then stays open: the stream begins with its newest group of pictures.
        """
        feed = open_feed(self._place, self._stream, time.monotonic_ns())
        if isinstance(feed, UpstreamPassThrough):
            with self._condition:
                self._condition.wait_for(lambda: feed.keep() or not self._may_come(feed), KEY_FRAME_TIMEOUT_S)
                if feed.keep() and self._may_come(feed):
                    self._feed = feed
                    return
        feed.close()

    def _may_come(self, feed: UpstreamPassThrough) -> bool:
        """Its picture, while we wait."""
        return not (feed.failure or feed.absence or self._stopping or self._thread)

    def begin_after(self, capture_ns: int) -> None:
        """Capture times go on after those of another process."""
        self._next_capture_ns = max(self._next_capture_ns, capture_ns + NS_PER_S // 1000)

    def stop(self) -> None:
        """For good, within the time of one frame; does not wait for it."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
            if self._thread is None:
                self._close_feed()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread after `stop`; whether it has ended."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._has_ended():
            self._standby.expect(time.monotonic_ns())
            try:
                while self._sleep_until(self._due_ns):
                    self._turn(time.monotonic_ns())
            finally:
                self._standby.close()
                self._close_feed()

    def _has_ended(self) -> bool:
        """Decided together with forgetting the thread: a `want` after it starts another one."""
        with self._condition:
            if self._needed(time.monotonic_ns()):
                return False
            self._thread = None
            if self._standby.absence is not None:
                self._state, self._description = FAILED + self._standby.absence.reason, None
            else:
                self._state = IDLE
                self._standby.forget()
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

    def _due_ns(self) -> int:
        if self._stream is not self._tried:
            return 0
        due_ns = min(self._feed.due_ns if self._feed else self._retry_at_ns, self._standby.due_ns)
        return min(self._outgoing[0].due_ns, due_ns) if self._outgoing else due_ns

    def _turn(self, now_ns: int) -> None:
        """Whatever is due."""
        try:
            if self._stream is not self._tried:
                self._follow(now_ns)
            if self._feed is None:
                if now_ns >= self._retry_at_ns:
                    self._open(now_ns)
            elif now_ns >= self._feed.due_ns:
                self._read(self._feed, now_ns)
            if self._outgoing is not None and now_ns >= self._outgoing[0].due_ns:
                self._read_outgoing(*self._outgoing, now_ns)
        except (SourceError, EncoderError) as error:
            self._fail(str(error), error.shown, now_ns)
        except Exception:  # a defect of ours must not take the camera's other streams with it
            log.exception("pipeline_broken", stream=self._title)
            self._fail("internal error, see the log", "internal error", now_ns)
        if now_ns >= self._standby.due_ns:
            self._stand_by(now_ns)

    # ---------------------------------------------------------------- the stream's own picture

    def _follow(self, now_ns: int) -> None:
        """The newest settings."""
        before, self._tried = self._tried, self._stream
        self._back_off_ns = FIRST_RETRY_NS
        self._standby.enabled = self._tried.standby
        if not self._tried.standby:
            self._standby.close()
        if self._feed is not None:
            if adapt(self._feed, self._place, before, self._tried):
                return
            if before.source != self._tried.source:
                self._close_feed()
            elif self._begun and not (encodes(before) and encodes(self._tried)):
                self._outgoing, self._feed = (self._feed, self._shift_ns), None
        if not self._standby.is_shown and self._outgoing is None:
            self._standby.forget()
            self._standby.expect(now_ns)
        self._open(now_ns)

    def _open(self, now_ns: int) -> None:
        self._opened_ns = now_ns
        before, self._feed = self._feed, None
        self._feed = open_feed(self._place, self._tried, max(now_ns, self._next_capture_ns), before)
        if before is not None:
            give_back()
        self._begun, self._rejected, self._report_at = False, 0, 1
        if not self._standby.is_shown and self._outgoing is None:
            self._show(self._feed, STARTING)

    def _read_outgoing(self, feed: Feed, shift_ns: int, now_ns: int) -> None:
        """What readers see until the feed in its place has a key frame: an upstream gives none on demand."""
        for unit in feed.read(now_ns, self._sink.take_key_frame_request()):
            self._push(unit.later(shift_ns))
            self._standby.arrived(now_ns, feed.due_ns, visible=True)

    def _read(self, feed: Feed, now_ns: int) -> None:
        is_hidden = self._standby.is_shown or self._outgoing is not None
        units = feed.read(now_ns, is_hidden or self._sink.take_key_frame_request())
        if not is_hidden and (feed.description, feed.encoder) != (self._description, self._encoder):
            self._show(feed, self._state)
        arrived = False
        for unit in units:
            arrived = True
            if not self._begun:
                if not unit.key_frame:
                    continue
                self._begin(feed, unit, now_ns)
            self._push(unit.later(self._shift_ns) if self._shift_ns else unit)
        if arrived:
            self._standby.arrived(now_ns, feed.due_ns, visible=self._begun)
        elif self._begun and feed.absence and encodes(self._tried):
            self._standby.exhausted(now_ns)
        if feed.skipped + self._rejected >= self._report_at:
            log.warning("access_units_skipped", stream=self._title, count=feed.skipped + self._rejected)
            self._report_at *= 10

    def _begin(self, feed: Feed, key_frame: AccessUnit, now_ns: int) -> None:
        """In the place of the slate, if it is shown, or of another feed."""
        self._close_outgoing()
        self._begun, self._known = True, feed.description
        self._shift_ns = max(0, self._next_capture_ns - key_frame.capture_ns)
        self._standby.back(now_ns)
        self._show(feed, RUNNING)

    def _push(self, unit: AccessUnit) -> None:
        try:
            self._sink.push(unit.data, unit.capture_ns, max(unit.due_ns, time.monotonic_ns()))
        except ValueError:  # malformed; nothing of it was sent
            self._rejected += 1
            return
        self._next_capture_ns = max(self._next_capture_ns, unit.capture_ns + NS_PER_S // 1000)

    def _show(self, feed: Feed, state: str) -> None:
        """From now on readers get what this feed has."""
        if feed.description is not None:
            self._sink.codec = feed.description.codec
        self._description, self._encoder, self._state = feed.description, feed.encoder, state
        self._tell()

    def _fail(self, reason: str, shown: str, now_ns: int) -> None:
        """Try again after the back-off, if then somebody still wants it."""
        self._close_feed()
        with self._condition:
            self._linger_until_ns = 0
        if now_ns - self._opened_ns > PROVEN_NS:
            self._back_off_ns = FIRST_RETRY_NS
        # From one attempt to the next: one that has waited for an answer has waited.
        self._retry_at_ns = max(self._opened_ns + self._back_off_ns, now_ns + FIRST_RETRY_NS)
        self._back_off_ns = min(2 * self._back_off_ns, LAST_RETRY_NS)
        self._standby.miss(reason, shown, now_ns)
        if not self._standby.enabled:
            self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        """There is nothing to show: who waits is told so."""
        self._description, self._state = None, FAILED + reason
        self._tell()

    def _close_outgoing(self) -> None:
        if self._outgoing is not None:
            self._outgoing[0].close()
            self._outgoing = None

    def _close_feed(self) -> None:
        self._close_outgoing()
        if self._feed is not None:
            self._feed.close()
            self._feed = None
            give_back()

    # ---------------------------------------------------------------- the slate

    def _stand_by(self, now_ns: int) -> None:
        self._begun = False
        self._close_outgoing()
        absence = self._standby.absence
        if absence is None or (self._feed and self._feed.absence):
            absence = self._standby.miss((self._feed and self._feed.absence) or SILENT, SILENT, now_ns)
        try:
            slate = self._standby.make(self._place, absence, self._shape(), max(now_ns, self._next_capture_ns))
        except Exception as error:  # whatever it is: the stream is then as one without a slate, until something changes
            log.warning("no_slate", stream=self._title, reason=str(error))
            self._standby.close()
            self._give_up(absence.reason)
            return
        if slate is not None:
            self._show(slate, STANDBY + absence.reason)
        for unit in self._standby.read(now_ns, self._sink.take_key_frame_request()):
            self._push(unit)

    def _shape(self) -> Shape:
        if encodes(self._tried):
            video = self._tried.video or VideoSpec()
            return Shape(video.codec, video.width, video.height)
        known = (self._feed.description if self._feed else None) or self._known
        return Shape(known.codec, known.width, known.height) if known else Shape()
