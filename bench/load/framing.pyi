def items(stream: bytes) -> tuple[list[tuple[int | None, bytes]], bytes]:
    """For tests: the whole items (channel and content of a frame, None and a message) and what is left over.

    Raises ValueError for what can become neither.
    """
