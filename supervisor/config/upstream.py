"""`source = { kind = "rtsplive" }`: cameras that are pulled."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from camfleet.core import wire
from camfleet.core.rtsp.client import ServerURL
from msgspec import Meta

from .files import holds_password, read_password_file, readable
from .section import Check, Complaint
from .sources import Source


def _server_url(_: Path, url: str) -> Iterator[Complaint]:
    try:
        ServerURL.parse(url)
    except ValueError as error:
        yield Complaint("url", f"is {error}", "an address as in rtsps://camera.example.org/stream1")


def _login(_: Path, url: str, user: str, password: str, password_file: str) -> Iterator[Complaint]:
    """Quiet about a URL that is none: that has been said."""
    try:
        in_url = bool(ServerURL.parse(url).user)
    except ValueError:
        return
    if in_url and (user or password or password_file):
        yield Complaint("user", "and the url both name a user", "one of them")
    if password and password_file:
        yield Complaint("password_file", "and password are both there", "one of them")
    if (password or password_file) and not user:
        yield Complaint("user", "is missing beside its password", "a name")
    if user and not in_url and not (password or password_file):
        yield Complaint("password_file", "is missing beside the user", "password_file, or password")


def _protection(_: Path, url: str, transport: str, tls: str, ca_file: str, fingerprint: str) -> Iterator[Complaint]:
    try:
        encrypted = ServerURL.parse(url).tls
    except ValueError:
        return
    if not encrypted:
        named = [("tls", tls != "verify"), ("ca_file", ca_file), ("fingerprint", fingerprint)]
        for key in (name for name, given in named if given):
            yield Complaint(
                key, "says nothing about rtsp://, which has no certificate", "an rtsps:// url, or no such key"
            )
    elif transport == "udp":
        yield Complaint("transport", '"udp" would send the pictures of an rtsps:// url in clear', '"tcp"')
    if tls == "off" and (ca_file or fingerprint):
        yield Complaint("tls", '"off" beside a ca_file or fingerprint', '"verify"')
    if ca_file and fingerprint:
        yield Complaint("fingerprint", "and ca_file are both there", "one of them")


def _ca_file(folder: Path, ca_file: str) -> Iterator[Complaint]:
    if ca_file:
        unreadable = list(readable(folder, "ca_file", ca_file))
        yield from unreadable
        if not unreadable:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(folder / ca_file)
            except ssl.SSLError:
                yield Complaint("ca_file", f"{folder / ca_file} has no certificate as PEM", "a file with some")


class RTSPLive(Source, tag="rtsplive", frozen=True, kw_only=True):
    """An upstream camera or server, pulled while somebody watches. Passed through unless the stream has `video`
    settings. See [sources](sources.md#rtsplive)."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="Its address. A user and password may stand in it; `user` and `password_file` keep them out of "
            "this file.",
            extra={"allowed": "rtsp://HOST[:PORT]/... or rtsps://...", "secret": True},
        ),
    ]
    transport: Annotated[
        Literal["tcp", "udp"],
        Meta(description="How RTP comes: inside the connection, or in datagrams, of which some get lost."),
    ] = "tcp"
    user: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f:]{0,64}\Z",
            description="Who we are there.",
            extra={"allowed": 'up to 64 characters without control characters and ":"'},
        ),
    ] = ""
    password: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,256}\Z",
            description="The password in clear.",
            extra={"allowed": "up to 256 characters without control characters", "secret": True},
        ),
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="A file whose only line is the password; a relative path starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ] = ""
    basic: Annotated[
        bool,
        Meta(description="Send the password in clear to a server that offers nothing else and has no TLS."),
    ] = False
    tls: Annotated[
        Literal["verify", "off"],
        Meta(
            description="`verify`: of rtsps:// only a server whose certificate is valid for its name, and signed by an "
            "authority of the system, or of `ca_file`. `off`: any server, also one that only pretends."
        ),
    ] = "verify"
    ca_file: Annotated[
        str,
        Meta(
            description="Authorities, or the server's own certificate, as PEM, instead of the system's; a relative "
            "path starts at the configuration file.",
            extra={"allowed": "a path"},
        ),
    ] = ""
    fingerprint: Annotated[
        str,
        Meta(
            pattern=r"^(([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2})?\Z",
            description="The only certificate that is accepted, whatever its name, authority and dates: its SHA-256 "
            "as `openssl x509 -noout -fingerprint -sha256` writes it.",
            extra={"allowed": '64 hex digits, with or without ":"'},
        ),
    ] = ""

    checks: ClassVar = (
        Check(("url",), _server_url),
        Check(("url", "user", "password", "password_file"), _login),
        Check(("password_file",), holds_password),
        Check(("url", "transport", "tls", "ca_file", "fingerprint"), _protection),
        Check(("ca_file",), _ca_file),
    )

    @property
    def secret_file(self) -> str:
        return self.password_file

    def spec(self, folder: Path) -> wire.Source:
        url = ServerURL.parse(self.url)
        password = self.password
        if self.password_file:
            password = read_password_file(folder / self.password_file)
        return wire.RTSPLive(
            url=url.text,
            user=self.user or url.user,
            password=password or url.password,
            basic=self.basic,
            udp=self.transport == "udp",
            verify=self.tls == "verify",
            ca_file=str(folder / self.ca_file) if self.ca_file else "",
            fingerprint=self.fingerprint.replace(":", "").lower(),
        )
