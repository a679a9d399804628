"""Authorization (RFC 7616 3.4, RFC 7617) as values. What a client claims is bytes here: names are UTF-8, or not."""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass

MAX_NAME_SIZE = 64
# Possessive, so that no run of blanks is tried twice.
_PARAMETER = re.compile(
    r'[ \t,]*+([A-Za-z0-9_*-]++)[ \t]*+=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^ \t,"]*+))[ \t]*+(?:,|$)', re.DOTALL
)
_PARAMETERS = re.compile(f"(?:{_PARAMETER.pattern})++", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    username: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """`qop` None: an RFC 2069 client, without nc and cnonce."""

    username: bytes
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str | None
    nc: str
    cnonce: str


Credentials = BasicCredentials | DigestCredentials


def parse_authorization(value: str) -> Credentials | None:
    """None: malformed."""
    scheme, _, rest = value.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _parse_basic(rest.strip())
        case "digest":
            return _parse_digest(rest)
    return None


def printable(name: bytes) -> str:
    """A claimed user name for logs and counters: at most 64 characters, no controls."""
    text = name[:MAX_NAME_SIZE].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _parse_basic(token: str) -> BasicCredentials | None:
    try:
        username, colon, password = b64decode(token, validate=True).partition(b":")
    except (binascii.Error, ValueError):  # ValueError: 8-bit characters
        return None
    return BasicCredentials(username, password) if colon else None


def _parse_digest(text: str) -> DigestCredentials | None:
    text = text.rstrip(" \t,")
    if not _PARAMETERS.fullmatch(text):
        return None
    found = _PARAMETER.findall(text)
    parameters = {
        name.lower(): _ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted or bare for name, quoted, bare in found
    }
    if len(parameters) < len(found) or not parameters.keys() >= {"username", "nonce", "uri", "response"}:
        return None
    qop = parameters.get("qop")
    return DigestCredentials(
        username=parameters["username"].encode("latin-1"),
        nonce=parameters["nonce"],
        uri=parameters["uri"],
        response=parameters["response"].lower(),
        algorithm=parameters.get("algorithm", "MD5").upper(),
        qop=qop.lower() if qop else None,
        nc=parameters.get("nc", ""),
        cnonce=parameters.get("cnonce", ""),
    )
