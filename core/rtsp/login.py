"""Who is on a connection."""

from .digest import Authenticator, LoginError, NonceCounter, StaleNonceError
from .errors import RefusalError
from .headers.authorization import BasicCredentials, parse_authorization, printable
from .lockout import Lockout
from .message import Request
from .url import StreamPath

# Who has logged in may keep alive and leave without proving it again: clients ignore a 401 to a keep-alive (FFmpeg does
# not read the answer), and an expired nonce would then end a good session.
_VERIFIED_ALWAYS = ("DESCRIBE", "SETUP", "PLAY", "ANNOUNCE", "RECORD")


class Login:
    """Of one connection from `address`; `secure`: inside TLS, where Basic is as good as Digest. `client_user`: who it
    is by a client certificate that has been verified; while there is such a user, no password is asked for."""

    __slots__ = (
        "_address",
        "_authenticator",
        "_client_user",
        "_counter",
        "_lockout",
        "_secure",
        "failed",
        "locked_out",
        "user",
    )

    def __init__(
        self, authenticator: Authenticator, lockout: Lockout, address: str, secure: bool, client_user: str = ""
    ) -> None:
        self._authenticator = authenticator
        self._lockout = lockout
        self._address = address
        self._secure = secure
        self._client_user = client_user
        self._counter = NonceCounter()
        self.user: str | None = None  # who logged in last
        self.failed: str | None = None  # who failed to, until somebody takes it
        self.locked_out = False

    @property
    def nonce(self) -> tuple[int, int]:
        """Time and count of the highest that was used."""
        return self._counter.highest

    @property
    def may_watch(self) -> bool:
        """Not who may only publish."""
        return self.user is not None and self._authenticator.may_watch(self.user)

    def restore(self, user: str | None, nonce: tuple[int, int]) -> None:
        """What another process knew."""
        self.user, self._counter = user, NonceCounter(*nonce)

    def check(self, request: Request, path: StreamPath, now_ns: int) -> None:
        """Raises RefusalError: 401, or 403 when locked out. A request without credentials is no failed login."""
        if self.user is not None and request.method not in _VERIFIED_ALWAYS:
            return
        authorization = request.headers.get("Authorization")
        if authorization is None:
            if not self._client_user or not self._authenticator.knows(self._client_user):
                raise self._unauthorized(now_ns)
            self.user = self._client_user
            return
        credentials = parse_authorization(authorization)
        if isinstance(credentials, BasicCredentials) and not self._secure:
            raise self._unauthorized(now_ns)  # never offered, never looked at
        claimed = printable(credentials.username) if credentials else ""
        if self._lockout.is_locked(self._address, claimed, now_ns):
            self.locked_out = True
            raise RefusalError(403)
        try:
            if credentials is None:
                raise LoginError
            self.user = self._authenticator.verify(
                credentials,
                method=request.method,
                url=path,
                address=self._address,
                counter=self._counter,
                now_ns=now_ns,
            )
        except StaleNonceError:
            raise self._unauthorized(now_ns, stale=True) from None
        except LoginError:
            self._lockout.failed(self._address, claimed, now_ns)
            self.failed = claimed
            raise self._unauthorized(now_ns) from None
        self._lockout.succeeded(self._address, claimed)

    def _unauthorized(self, now_ns: int, *, stale: bool = False) -> RefusalError:
        challenges = self._authenticator.challenges(self._address, now_ns, secure=self._secure, stale=stale)
        return RefusalError(401, [("WWW-Authenticate", challenge) for challenge in challenges])
