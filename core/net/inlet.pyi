class Inlet:
    """The media of one client that publishes, from the engine (`FanOut.record`) to the one thread that takes it.

    Bounded: what is not taken in time is dropped, all at once and frame by frame, and the sequence numbers tell.
    Raises OSError when the process has no descriptors left.
    """

    def __init__(self) -> None: ...
    @property
    def fd(self) -> int:
        """Readable when there is something to take."""

    @property
    def newest_ns(self) -> int:
        """When the newest frame came, on the monotonic clock; before there is one: when the inlet was made."""

    @property
    def overflows(self) -> int:
        """So many times everything was dropped."""

    def take(self) -> bytes:
        """All whole `$` frames that have come since."""

    def put(self, channel: int, payload: bytes, now_ns: int) -> None:
        """A frame that has come among text."""
