"""The streams of a camera as its settings say: made, changed and taken away while the others run."""

from collections.abc import Callable, Iterator, Mapping

from camfleet.core.wire import CameraSpec, StreamSpec

from .stream import LiveStream


class Streams(Mapping[str, LiveStream]):
    """By id, in the order of the configuration: the first is the default one."""

    def __init__(
        self, build: Callable[[StreamSpec, str], LiveStream], take_down: Callable[[LiveStream], object]
    ) -> None:
        """`build(spec, camera_name)` makes a stream, `take_down` ends one for which there are no sessions any more."""
        self.take_down = take_down
        self._build = build
        self._live: dict[str, LiveStream] = {}

    def __getitem__(self, stream_id: str) -> LiveStream:
        return self._live[stream_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def configure(self, camera: CameraSpec) -> list[LiveStream]:
        """Those that are new are here, the others as they are now wanted; returns those to take down."""
        for spec in camera.streams:
            if (stream := self._live.get(spec.id)) is not None:
                stream.configure(spec, camera.name)
            else:
                self._live[spec.id] = self._build(spec, camera.name)
        before = self._live
        self._live = {spec.id: before.pop(spec.id) for spec in camera.streams}
        return list(before.values())
