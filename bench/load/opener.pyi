class Probe:
    """An Opener for tests."""

    def __init__(self, key_log: str, suite: int) -> None: ...
    def open(self, received: bytes) -> bytes:
        """The application data of the records that are whole with this."""

    @property
    def answer_due(self) -> bool: ...
    @property
    def failure(self) -> str: ...
