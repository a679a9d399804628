"""Passwords and what Digest keeps of them: HA1 = H(name ":" realm ":" password) of RFC 7616 3.4.2."""

import hashlib
import secrets

from camfleet.core.wire import UserSpec

REALM = "camfleet"
GENERATED_USER = "viewer"  # of a server without [[users]]
PASSWORD_LENGTH = 20  # 20 * log2(56) = 116 bits
# Letters and digits without those that look alike (0 O o, 1 l I): safe in a URL, a shell and a telephone call.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def generate_password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


def user_spec(name: str, password: str, *, watches: bool = True) -> UserSpec:
    """The user as a worker knows it; the password itself goes no further than here."""
    secret = f"{name}:{REALM}:{password}".encode()
    md5, sha256 = hashlib.md5(secret).hexdigest(), hashlib.sha256(secret).hexdigest()
    return UserSpec(name=name, ha1_md5=md5, ha1_sha256=sha256, watches=watches)
