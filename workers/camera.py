"""What a Configure builds: the engine with its thread, the streams with their pipelines, the sessions."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping

from camfleet.core.log import Log
from camfleet.core.memory import give_back
from camfleet.core.net.fanout import FanOut, live_objects
from camfleet.core.ring.stream import MediaStream
from camfleet.core.rtsp import Parameters
from camfleet.core.wire import HandoffRecord, StreamSpec
from camfleet.core.wire.control import Configure, HandBack, Message
from camfleet.core.wire.succession import StreamNumbers

from .clockmap import unix_offset_ns
from .feed import encodes
from .pipeline import StreamPipeline
from .session import LiveStream, Registry, Streams, join_mode

log = Log("camera")

# What is left for the threads after the clients' goodbye.
JOIN_TIMEOUT_S = 0.5


class LiveCamera:
    """Lives on the event loop that builds it."""

    def __init__(
        self,
        order: Configure,
        *,
        news: Callable[[Message], object],
        hand_back: Callable[[HandBack, HandoffRecord, int], None],
        failed: Callable[[str], None],
        held: bool = False,
    ) -> None:
        """`failed` is called when the engine ends by itself: nothing can be served then. `held`: nothing of the streams
        leaves before `go_on`."""
        self._loop = asyncio.get_running_loop()
        self._failed = failed
        self._held = held
        self._id = order.camera.id
        self._offset_ns = unix_offset_ns()
        self._fanout = FanOut()
        self._streams = Streams(self._build, self._take_down)
        self.registry = Registry(
            order, self._fanout, self._streams, time.monotonic_ns(), news=news, hand_back=hand_back
        )
        self._empty = asyncio.Event()
        self._changed = asyncio.Event()
        self._stopping = False
        self._blocks = 0
        self._engine = threading.Thread(target=self._run_engine, name="fan-out", daemon=True)
        self._loop.add_reader(self._fanout.event_fd, self._take_events)
        self._engine.start()

    def configure(self, order: Configure) -> None:
        """Other settings: what differs is changed, and the rest runs on."""
        self.registry.configure(order, time.monotonic_ns())

    @property
    def streams(self) -> Mapping[str, LiveStream]:
        """By name, variants too."""
        return {stream.name: stream for stream in self._streams.all()}

    def named(self, name: str) -> LiveStream | None:
        """As another worker has called it; a variant is made if need be."""
        return self._streams.named(name)

    def go_on(self, numbers: Mapping[str, StreamNumbers]) -> None:
        """With these, after `held`; streams that have none begin."""
        for name in numbers:
            self.named(name)  # held as yet
        self._held = False
        for name, stream in self.streams.items():
            stream.go_on(numbers.get(name))

    async def stream_change(self) -> None:
        """Until the next change of a pipeline's state or description."""
        self._changed.clear()
        await self._changed.wait()

    def retire(self) -> None:
        """Another worker serves: no more pictures, and goodbye to those who could not go there."""
        for stream in self._streams.all():
            stream.pipeline.stop()
        self.registry.close_all()

    def tick(self, now_ns: int) -> None:
        self.registry.tick(now_ns)
        self._give_back()

    async def close(self, deadline_s: float) -> None:
        """RTCP BYE and close_notify to every reader, within the deadline; then the threads."""
        self._stopping = True
        for stream in self._streams.all():
            stream.pipeline.stop()
        self.registry.close_all()
        if len(self.registry):
            try:
                await asyncio.wait_for(self._empty.wait(), deadline_s)
            except TimeoutError:
                log.warning("clients_cut", connections=len(self.registry))
        self._loop.remove_reader(self._fanout.event_fd)
        self._fanout.stop()
        self._engine.join(JOIN_TIMEOUT_S)
        for stream in self._streams.all():
            if not stream.pipeline.join(JOIN_TIMEOUT_S):
                log.warning("pipeline_left", stream=stream.spec.id)

    def _give_back(self) -> None:
        """What frames took that are gone, and the opening of a file: the allocator would keep the most that there ever
        was. An encoder takes it again for its next picture."""
        blocks = live_objects().blocks
        if blocks < self._blocks and not any(encodes(stream.spec) for stream in self._streams.all()):
            give_back()
        self._blocks = blocks

    def _build(self, spec: StreamSpec, camera_name: str, parameters: Parameters) -> LiveStream:
        media = MediaStream(ntp_offset_ns=self._offset_ns, cname=self._id.encode(), join=join_mode(spec))
        if self._held:
            media.hold()
        self._fanout.add_stream(media)
        pipeline = StreamPipeline(
            spec,
            media,
            title=f"{self._id}-{spec.id}" + (f"?{parameters}" if parameters else ""),
            camera_name=camera_name,
            unix_offset_ns=self._offset_ns,
            lineup=self._streams.lineup,
            changed=self._pipeline_changed,
        )
        return LiveStream(spec, camera_name, media, pipeline, parameters=parameters)

    def _take_down(self, stream: LiveStream) -> None:
        stream.pipeline.stop()
        self._fanout.remove_stream(stream.media)

    def _pipeline_changed(self) -> None:
        """From the pipeline's thread."""
        self._loop.call_soon_threadsafe(self._stream_changed)

    def _stream_changed(self) -> None:
        self._changed.set()
        self.registry.stream_changed(time.monotonic_ns())

    def _run_engine(self) -> None:
        self._fanout.run()
        if not self._stopping:
            self._loop.call_soon_threadsafe(self._failed, "the fan-out thread has ended")

    def _take_events(self) -> None:
        self.registry.dispatch(self._fanout.events(), time.monotonic_ns())
        if self._stopping and not len(self.registry):
            self._empty.set()
