"""Digest (RFC 7616; RFC 2617 and RFC 2069 clients too) and Basic authentication (RFC 7617).

    nonce = time in milliseconds (12 hex digits) + HMAC-SHA256(nonce key, time | address) (32 hex digits of it)

Nothing is stored per nonce: who knows the key, this process or another one, can check it. A right digest over a nonce
that is not, or no longer, good for this address is answered with stale=true, as the client does know the password.
"""

import hmac
from collections.abc import Sequence
from hashlib import md5, sha256

from camfleet.core.wire import UserSpec

from .headers.authorization import BasicCredentials, Credentials, DigestCredentials
from .url import StreamPath

_TIME_DIGITS = 12
_NS_PER_MS = 1_000_000


class LoginError(Exception):
    """The credentials are not accepted."""


class StaleNonceError(Exception):
    """The credentials are right but for the nonce or its count: no failed login."""


class NonceCounter:
    """Replay check of one connection (RFC 7616 3.4): the pair of nonce time and `nc` only rises."""

    __slots__ = ("_nc", "_time")

    def __init__(self, time: int = 0, nc: int = 0) -> None:
        self._time, self._nc = time, nc

    @property
    def highest(self) -> tuple[int, int]:
        return self._time, self._nc

    def advance(self, nonce_time: int, nc: int) -> bool:
        """False: a replay."""
        if (nonce_time, nc) <= (self._time, self._nc):
            return False
        self._time, self._nc = nonce_time, nc
        return True


class Authenticator:
    """Shared by all connections; what is set takes effect on the next request of each. No user: nobody gets in."""

    def __init__(
        self,
        users: Sequence[UserSpec],
        *,
        realm: str,
        nonce_key: bytes,
        sha256: bool = False,
        nonce_lifetime_s: float = 300,
    ) -> None:
        self._realm = realm
        self._nonce_lifetime_ms = int(nonce_lifetime_s * 1000)
        self.set_scheme(nonce_key, sha256=sha256)
        self.set_users(users)

    def set_scheme(self, nonce_key: bytes, *, sha256: bool) -> None:
        """A client with a nonce of another key is asked once more, and not for its password."""
        self._nonce_key = nonce_key
        self._sha256 = sha256
        # Takes the place of an unknown user, so that the same work is done for him.
        self._nobody = UserSpec(name="", ha1_md5=_md5(nonce_key), ha1_sha256=_sha256(nonce_key))

    def set_users(self, users: Sequence[UserSpec]) -> None:
        self._users = {user.name.encode(): user for user in users}

    def knows(self, name: str) -> bool:
        return name.encode() in self._users

    def may_watch(self, name: str) -> bool:
        user = self._users.get(name.encode())
        return user is not None and user.watches

    def challenges(self, address: str, now_ns: int, *, secure: bool, stale: bool = False) -> list[str]:
        """Values of WWW-Authenticate, one header line each, what FFmpeg needs first.

        live555 wants realm, nonce, stale in this order. MD5 is the default and not named, for the oldest clients.
        """
        nonce = self._nonce(now_ns // _NS_PER_MS, address)
        digest = f'Digest realm="{self._realm}", nonce="{nonce}"' + (", stale=true" if stale else "")
        values = [f'{digest}, qop="auth"']
        if self._sha256:
            values.append(f'{digest}, algorithm=SHA-256, qop="auth"')
        if secure:
            values.append(f'Basic realm="{self._realm}"')
        return values

    def verify(
        self,
        credentials: Credentials,
        *,
        method: str,
        url: StreamPath,
        address: str,
        counter: NonceCounter,
        now_ns: int,
    ) -> str:
        """The user's name. Raises LoginError or StaleNonceError. Basic is for the caller to refuse outside of TLS."""
        known = self._users.get(credentials.username)
        user = known or self._nobody
        if isinstance(credentials, BasicCredentials):
            proven = self._verify_basic(credentials, user)
        else:
            proven = self._verify_digest(credentials, user, method) and _same_camera(credentials.uri, url)
        if not proven or known is None:
            raise LoginError
        if isinstance(credentials, DigestCredentials):
            self._check_nonce(credentials, address, counter, now_ns)
        return known.name

    def _verify_basic(self, credentials: BasicCredentials, user: UserSpec) -> bool:
        a1 = b":".join((credentials.username, self._realm.encode(), credentials.password))
        return hmac.compare_digest(_md5(a1), user.ha1_md5)

    def _verify_digest(self, credentials: DigestCredentials, user: UserSpec, method: str) -> bool:
        """RFC 7616 3.4.1; without qop RFC 2069 2.1.2."""
        if credentials.algorithm == "MD5":
            hash_, ha1 = _md5, user.ha1_md5
        elif credentials.algorithm == "SHA-256" and self._sha256:
            hash_, ha1 = _sha256, user.ha1_sha256 or self._nobody.ha1_sha256
        else:
            return False
        ha2 = hash_(f"{method}:{credentials.uri}".encode("latin-1"))
        if credentials.qop is None:
            data = f"{ha1}:{credentials.nonce}:{ha2}"
        elif credentials.qop == "auth":
            data = f"{ha1}:{credentials.nonce}:{credentials.nc}:{credentials.cnonce}:auth:{ha2}"
        else:
            return False
        return hmac.compare_digest(hash_(data.encode("latin-1")).encode(), credentials.response.encode())

    def _check_nonce(self, credentials: DigestCredentials, address: str, counter: NonceCounter, now_ns: int) -> None:
        try:
            time_ms = int(credentials.nonce[:_TIME_DIGITS], 16)
            nc = int(credentials.nc, 16) if credentials.qop else None
        except ValueError:
            raise StaleNonceError from None
        if not hmac.compare_digest(self._nonce(time_ms, address).encode(), credentials.nonce.encode()):
            raise StaleNonceError
        if now_ns // _NS_PER_MS - time_ms > self._nonce_lifetime_ms:
            raise StaleNonceError
        if nc is not None and not counter.advance(time_ms, nc):
            raise StaleNonceError

    def _nonce(self, time_ms: int, address: str) -> str:
        time = f"{time_ms:0{_TIME_DIGITS}x}"
        return time + hmac.digest(self._nonce_key, f"{time}|{address}".encode(), "sha256").hex()[:32]


def _md5(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest()


def _same_camera(uri: str, url: StreamPath) -> bool:
    """Clients sign a relative URL (Bosch BVMS), the base URL of a track (VLC) or the stream's (HappyTime)."""
    if uri == url.url:
        return True
    signed = StreamPath.parse(uri)
    return signed is not None and url.camera in (None, signed.camera)
