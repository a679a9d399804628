"""The client's side of Digest (RFC 7616, RFC 2617 and RFC 2069) and Basic (RFC 7617)."""

import re
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5, sha256

from .errors import LoginRefusedError, ServerError

MAX_CHALLENGE_SIZE = 4096
_PARAMETER = re.compile(r'([A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t,"]*))')
_SCHEME = re.compile(r"[ \t]*(Digest|Basic)(?:[ \t]+|$)", re.IGNORECASE)
_HASHES = {"MD5": md5, "SHA-256": sha256}
_STRENGTH = {"SHA-256": 2, "MD5": 1}


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are to the server. `clear`: the password may be sent as it is, as nobody else reads along."""

    user: str
    password: str
    clear: bool


class Credentials:
    """Answers the challenges of one connection."""

    __slots__ = ("_account", "_basic", "_challenge", "_count", "_refused")

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._challenge: dict[str, str] = {}
        self._basic = False
        self._count = 0
        self._refused = False

    def accept(self, challenges: Iterable[str]) -> None:
        """Take the strongest challenge of a 401. Raises ServerError when there is nothing (more) to say to it."""
        if self._account is None:
            raise ServerError("asks for a user and password; give the source `user` and `password_file`")
        best: dict[str, str] = {}
        basic = False
        for text in challenges:
            scheme = _SCHEME.match(text[:MAX_CHALLENGE_SIZE])
            if scheme is None:
                continue
            if scheme[1].lower() == "basic":
                basic = True
                continue
            found = _PARAMETER.findall(text[scheme.end() : MAX_CHALLENGE_SIZE])
            values = {name.lower(): quoted or bare for name, quoted, bare in found}
            algorithm = values.get("algorithm", "MD5").upper()
            if _STRENGTH.get(algorithm, 0) > _STRENGTH.get(best.get("algorithm", ""), 0):
                best = values | {"algorithm": algorithm}
        if self._refused or (self._answered and best.get("stale", "").lower() != "true"):
            raise LoginRefusedError("refuses the user or the password")
        if best:
            self._refused = self._answered  # a stale nonce once, not for ever
            self._challenge, self._count = best, 0
        elif basic and self._account.clear:
            self._basic = True
        elif basic:
            raise ServerError("asks for the password in clear (Basic); use TLS, or allow it by `basic = true`")
        else:
            raise ServerError("asks for a login of a kind that is not known here")

    def accepted(self) -> None:
        """The server was content with the last answer."""
        self._refused = False

    def header(self, method: str, uri: str) -> list[str]:
        """A line of Authorization, or none."""
        if self._account is None or not self._answered:
            return []
        user, password = self._account.user, self._account.password
        if self._basic:
            return ["Authorization: Basic " + b64encode(f"{user}:{password}".encode()).decode()]
        challenge = self._challenge
        hash_ = _HASHES[challenge["algorithm"]]

        def digest(text: str) -> str:
            return hash_(text.encode()).hexdigest()

        realm, nonce = challenge.get("realm", ""), challenge.get("nonce", "")
        ha1, ha2 = digest(f"{user}:{_unquoted(realm)}:{password}"), digest(f"{method}:{uri}")
        fields = f'username="{_quoted(user)}", realm="{realm}", nonce="{nonce}", uri="{uri}"'
        if "auth" in challenge.get("qop", "").replace(" ", "").lower().split(","):
            self._count += 1
            count, cnonce = f"{self._count:08x}", secrets.token_hex(8)
            answer = digest(f"{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}")
            fields += f', qop=auth, nc={count}, cnonce="{cnonce}"'
        else:
            answer = digest(f"{ha1}:{nonce}:{ha2}")
        if "opaque" in challenge:
            fields += f', opaque="{challenge["opaque"]}"'
        if challenge["algorithm"] != "MD5":  # the oldest servers do not expect it
            fields += f", algorithm={challenge['algorithm']}"
        return [f'Authorization: Digest {fields}, response="{answer}"']

    @property
    def _answered(self) -> bool:
        return self._basic or bool(self._challenge)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
