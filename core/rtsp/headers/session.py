"""Session (RFC 2326 12.37)."""


def parse_session_id(value: str) -> str:
    """The id alone: Larix Broadcaster sends the timeout back."""
    return value.partition(";")[0].strip()
