"""What the streams of a camera show, variants too: whether it is worth anything to have a film for several of them."""

from camfleet.core.wire import Source, StreamSpec


class Lineup:
    """The event loop tells, before any pipeline follows; pipelines ask."""

    def __init__(self) -> None:
        self.streams: tuple[StreamSpec, ...] = ()  # replaced, never changed

    def is_shared(self, source: Source) -> bool:
        """More than one stream shows it."""
        return sum(stream.source == source for stream in self.streams) > 1

    def passes_through(self, source: Source) -> bool:
        """A stream shows it as it is."""
        return any(stream.video is None and stream.source == source for stream in self.streams)
