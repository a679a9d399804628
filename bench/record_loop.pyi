def seal_many(export: bytes, data: bytes, count: int) -> int:
    """Seal `data` `count` times with the exported session; returns the bytes of the last sealing."""

def open_all(export: bytes, records: bytes) -> int:
    """Open `records`, one after the other, with the exported session; returns the bytes of all plaintext."""
