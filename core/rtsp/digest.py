"""Digest (RFC 7616, and RFC 2617 / 2069 clients) and Basic authentication."""

from collections.abc import Sequence

from camfleet.core.wire import UserSpec


class Authenticator:
    """Shared by all connections of a camera; `set_users` takes effect on the next request of each."""

    def __init__(
        self,
        users: Sequence[UserSpec],
        *,
        realm: str,
        nonce_key: bytes,
        sha256: bool = False,
        nonce_lifetime_s: float = 300,
    ) -> None:
        self._settings = (realm, nonce_key, sha256, nonce_lifetime_s)
        self.set_users(users)

    def set_users(self, users: Sequence[UserSpec]) -> None:
        raise NotImplementedError
