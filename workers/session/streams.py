"""The streams of a camera as its settings say, and variants of them as URLs ask: made, changed and taken away while the
others run."""

from collections.abc import Callable, Collection, Iterator, Mapping

from camfleet.core.rtsp.errors import NOT_ENOUGH_BANDWIDTH, PARAMETER_NOT_UNDERSTOOD, RefusalError
from camfleet.core.rtsp.parameters import NO_PARAMETERS, Parameters
from camfleet.core.wire import CameraSpec, StreamSpec

from ..sources import Lineup
from .stream import LiveStream
from .variant import as_asked, too_large


class Streams(Mapping[str, LiveStream]):
    """By id, in the order of the configuration: the first is the default one. `variants` are beside them."""

    def __init__(
        self,
        build: Callable[[StreamSpec, str, Parameters], LiveStream],
        take_down: Callable[[LiveStream], object],
    ) -> None:
        """`build(spec, camera_name, parameters)` makes a stream, `take_down` ends one that has no sessions any more."""
        self.take_down = take_down
        self.variants: list[LiveStream] = []
        self.lineup = Lineup()
        self._build = build
        self._live: dict[str, LiveStream] = {}
        self._camera_name = ""
        self._max_variants = 0

    def __getitem__(self, stream_id: str) -> LiveStream:
        return self._live[stream_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def is_published(self, stream_id: str) -> bool:
        return self._live[stream_id].spec.source.is_published

    def all(self) -> list[LiveStream]:
        """Variants too."""
        return [*self._live.values(), *self.variants]

    def named(self, name: str) -> LiveStream | None:
        """What another worker has called so. A variant that it had is made, whatever the limit is now."""
        if (known := next((stream for stream in self.all() if stream.name == name), None)) is not None:
            return known
        stream_id, _, query = name.partition("?")
        try:
            parameters = Parameters.parse(query)
        except RefusalError:
            return None
        return self._make(stream_id, parameters) if parameters and stream_id in self._live else None

    # ---------------------------------------------------------------- as configured

    def configure(self, camera: CameraSpec) -> list[LiveStream]:
        """Those that are new are here, the others as they are now wanted; returns those to take down."""
        self._camera_name, self._max_variants = camera.name, camera.max_variants
        self._tell(camera.streams)
        for spec in camera.streams:
            if (stream := self._live.get(spec.id)) is not None:
                stream.configure(spec, camera.name)
            else:
                self._live[spec.id] = self._build(spec, camera.name, NO_PARAMETERS)
        before = self._live
        self._live = {spec.id: before.pop(spec.id) for spec in camera.streams}
        return [*before.values(), *self._configure_variants()]

    def _configure_variants(self) -> list[LiveStream]:
        """They follow their streams in all that their URLs do not say."""
        gone = []
        for variant in list(self.variants):
            origin = self._live.get(variant.spec.id)
            if origin is None:
                self.variants.remove(variant)
                gone.append(variant)
            else:
                variant.configure(as_asked(origin.spec, variant.parameters), self._camera_name)
        return gone

    # ---------------------------------------------------------------- as URLs ask

    def find(self, stream_id: str, parameters: Parameters, used: Callable[[], Collection[LiveStream]]) -> LiveStream:
        """The stream itself, or the variant of it that all share who ask for the same. `used` are those that somebody
        needs: another variant has to give way to a new one. Raises RefusalError."""
        origin = self._live[stream_id]
        spec = as_asked(origin.spec, parameters)
        if (stream := self._known(spec)) is not None:
            return stream
        if reason := too_large(spec, origin.spec.video or origin.pipeline.description):
            raise RefusalError(PARAMETER_NOT_UNDERSTOOD, reason=reason)
        if len(self.variants) >= self._max_variants and not self._end_one(used()):
            reason = f"the camera makes {self._max_variants} variants at most (limits.variants_per_camera)"
            raise RefusalError(NOT_ENOUGH_BANDWIDTH, reason=reason)
        return self._make(stream_id, parameters)

    def tick(self, now_ns: int, used: Callable[[], Collection[LiveStream]]) -> None:
        """Measure, and end the variants that nobody has needed for the time that their streams linger."""
        for stream in self.all():
            stream.tick(now_ns)
        if resting := [variant for variant in self.variants if variant.rests]:
            needed = used()
            for variant in resting:
                if variant not in needed:
                    self._end(variant)

    def _known(self, spec: StreamSpec) -> LiveStream | None:
        return next((stream for stream in self.all() if stream.spec == spec), None)

    def _make(self, stream_id: str, parameters: Parameters) -> LiveStream:
        spec = as_asked(self._live[stream_id].spec, parameters)
        self.lineup.streams += (spec,)
        self.variants.append(self._build(spec, self._camera_name, parameters))
        return self.variants[-1]

    def _end_one(self, needed: Collection[LiveStream]) -> bool:
        idle = next((variant for variant in self.variants if variant not in needed), None)
        if idle is not None:
            self._end(idle)
        return idle is not None

    def _end(self, variant: LiveStream) -> None:
        self.variants.remove(variant)
        self._tell([stream.spec for stream in self._live.values()])
        self.take_down(variant)

    def _tell(self, configured: Collection[StreamSpec]) -> None:
        """What is shown from now on."""
        origins = {spec.id: spec for spec in configured}
        variants = [variant for variant in self.variants if variant.spec.id in origins]
        self.lineup.streams = (
            *configured,
            *(as_asked(origins[variant.spec.id], variant.parameters) for variant in variants),
        )
