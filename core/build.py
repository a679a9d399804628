"""Which code this is: two processes of one build run the same files of `core` and `workers`."""

import hashlib
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_ROOMS = ("core", "workers")
_CODE = (".py", ".so")


def build() -> str:
    """A fingerprint of the files as they are now, by name, size and time; takes some milliseconds."""
    digest = hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in (_ROOT / room).rglob("*") if path.suffix in _CODE):
        status = path.stat()
        digest.update(f"{path.relative_to(_ROOT)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
