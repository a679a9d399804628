"""Where a server is, and what is asked of it there."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

PORTS = {"rtsp": 554, "rtsps": 322}  # RFC 2326 3.2, RFC 7826 4.2
MAX_URL_SIZE = 2048
# What may stand in a request line: printable ASCII without blanks. A fragment is not sent to anybody (RFC 3986 3.5).
_URL = re.compile(
    r"(rtsps?)://(?:([^@/?#]*)@)?(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?((?:[/?][!-~]*)?)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ServerURL:
    """`text` is without user and password; they are decoded."""

    text: str
    tls: bool
    host: str  # IPv6 without brackets
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "ServerURL":
        """Raises ValueError, which does not repeat the URL."""
        found = _URL.fullmatch(url) if len(url) <= MAX_URL_SIZE and "#" not in url else None
        if found is None:
            raise ValueError("not rtsp://HOST[:PORT]/... or rtsps://...")
        scheme, login, host, port, rest = found[1].lower(), found[2] or "", found[3], found[4], found[5]
        user, _, password = login.partition(":")
        number = int(port) if port else PORTS[scheme]
        if not 0 < number <= 65535:
            raise ValueError("no port from 1 to 65535")
        text = f"{scheme}://{host}{f':{port}' if port else ''}{rest}"
        return cls(text, scheme == "rtsps", host.strip("[]"), number, unquote(user), unquote(password))

    @property
    def place(self) -> str:
        """For messages: the path may hold a password of its own, as with the cameras of some makers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rtsps' if self.tls else 'rtsp'}://{host}:{self.port}"
