def seal_many(export: bytes, data: bytes, count: int) -> int:
    """Seal `data` `count` times with the exported session; returns the bytes of the last sealing."""

def open_all(export: bytes, records: bytes) -> int:
    """Open `records`, one after the other, with the exported session; returns the bytes of all plaintext."""

def encrypt_many(cipher: str, data: bytes, count: int) -> bool:
    """What libcrypto can do at best: `data` under one nonce, `count` times ("AES-128-GCM", "AES-256-GCM",
    "ChaCha20-Poly1305"). For measuring only. Returns whether all went well."""
