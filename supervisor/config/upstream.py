"""`source = { kind = "rtsplive" }` and `{ kind = "netlive" }`: what is pulled from elsewhere."""

import re
import ssl
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import parse_qsl, unquote

from camfleet.core import wire
from camfleet.core.rtsp.client import ServerURL
from msgspec import Meta

from .files import absolute, readable
from .passwords import Login
from .section import Check, Complaint


def _server_url(_: Path, url: str) -> Iterator[Complaint]:
    try:
        ServerURL.parse(url)
    except ValueError as error:
        yield Complaint("url", f"is {error}", "an address as in rtsps://camera.example.org/stream1")


def _one_login(in_url: bool, user: str, password: str, password_file: str) -> Iterator[Complaint]:
    if in_url and (user or password or password_file):
        yield Complaint("user", "and the url both name a user", "one of them")
    if (password or password_file) and not user:
        yield Complaint("user", "is missing beside its password", "a name")
    if user and not in_url and not (password or password_file):
        yield Complaint("password_file", "is missing beside the user", "password_file, or password")


def _login(_: Path, url: str, user: str, password: str, password_file: str) -> Iterator[Complaint]:
    """Quiet about a URL that is none: that has been said."""
    try:
        in_url = bool(ServerURL.parse(url).user)
    except ValueError:
        return
    yield from _one_login(in_url, user, password, password_file)


def _trust(encrypted: bool, scheme: str, tls: str, ca_file: str, fingerprint: str) -> Iterator[Complaint]:
    named = [("tls", tls != "verify"), ("ca_file", ca_file), ("fingerprint", fingerprint)]
    for key in (name for name, given in named if given and not encrypted):
        yield Complaint(
            key, f"says nothing about {scheme}://, which has no certificate", "an encrypted url, or no such key"
        )
    if tls == "off" and (ca_file or fingerprint):
        yield Complaint("tls", '"off" beside a ca_file or fingerprint', '"verify"')
    if ca_file and fingerprint:
        yield Complaint("fingerprint", "and ca_file are both there", "one of them")


def _protection(_: Path, url: str, transport: str, tls: str, ca_file: str, fingerprint: str) -> Iterator[Complaint]:
    try:
        encrypted = ServerURL.parse(url).tls
    except ValueError:
        return
    yield from _trust(encrypted, "rtsp", tls, ca_file, fingerprint)
    if encrypted and transport == "udp":
        yield Complaint("transport", '"udp" would send the pictures of an rtsps:// url in clear', '"tcp"')


def _ca_file(folder: Path, ca_file: str) -> Iterator[Complaint]:
    if ca_file:
        unreadable = list(readable(folder, "ca_file", ca_file))
        yield from unreadable
        if not unreadable:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(folder / ca_file)
            except ssl.SSLError:
                yield Complaint("ca_file", f"{folder / ca_file} has no certificate as PEM", "a file with some")


class Upstream(Login, frozen=True, kw_only=True):
    """What is pulled: as whom, and who is believed to be the server."""

    user: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f:]{0,64}\Z",
            description="Who we are there.",
            extra={"allowed": 'up to 64 characters without control characters and ":"'},
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


class RTSPLive(Upstream, tag="rtsplive", frozen=True, kw_only=True):
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

    checks: ClassVar = (
        *Login.checks,
        Check(("url",), _server_url),
        Check(("url", "user", "password", "password_file"), _login),
        Check(("url", "transport", "tls", "ca_file", "fingerprint"), _protection),
        Check(("ca_file",), _ca_file),
    )

    def spec(self, folder: Path) -> wire.Source:
        url = ServerURL.parse(self.url)
        return wire.RTSPLive(
            url=url.text,
            user=self.user or url.user,
            password=self.secret(folder) or url.password,
            basic=self.basic,
            udp=self.transport == "udp",
            verify=self.tls == "verify",
            ca_file=absolute(folder, self.ca_file),
            fingerprint=self.fingerprint.replace(":", "").lower(),
        )


_NET_URL = re.compile(
    r"(rtmps?|https?|udp|srt)://(?:([^@/?#]*)@)?((?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:[/?][!-~]*)?)",
    re.IGNORECASE,
)
_SECURE = frozenset({"rtmps", "https"})


def _net_parts(url: str) -> tuple[str, str, str]:
    """Scheme, login, and the rest behind it. Raises ValueError, which does not repeat the URL."""
    found = _NET_URL.fullmatch(url) if len(url) <= 2048 and "#" not in url else None
    if found is None:
        raise ValueError("not rtmp://, rtmps://, http://, https://, udp:// or srt:// and a host")
    return found[1].lower(), found[2] or "", found[3]


def _net_url(_: Path, url: str) -> Iterator[Complaint]:
    try:
        scheme, _login, rest = _net_parts(url)
    except ValueError as error:
        yield Complaint("url", f"is {error}", "an address as in http://192.0.2.7/mjpeg")
        return
    if scheme == "udp":
        yield from _udp_url(rest)


def _udp_url(rest: str) -> Iterator[Complaint]:
    example = "an address as in udp://239.1.2.3:5000 or udp://239.1.2.3:5000?localaddr=192.0.2.1"
    place, _, options = rest.partition("?")
    port = re.search(r":(\d+)/?\Z", place)
    if port is None or not 0 < int(port[1]) <= 65535:
        yield Complaint("url", "names no UDP port from 1 to 65535 to listen on", example)
    for name, value in parse_qsl(options, keep_blank_values=True):
        if name != "localaddr":
            yield Complaint("url", f"has the option {name!r}, which is none of ours", example)
        elif not _is_ipv4(value):
            yield Complaint("url", "has a localaddr that is no IPv4 address", example)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _net_login(_: Path, url: str, user: str, password: str, password_file: str) -> Iterator[Complaint]:
    try:
        scheme, login, _rest = _net_parts(url)
    except ValueError:
        return
    yield from _one_login(bool(login), user, password, password_file)
    if (login or user) and not scheme.startswith("http"):
        yield Complaint("user", f"is nothing that {scheme}:// knows", "a key or token in the path, if it wants one")


def _net_protection(_: Path, url: str, tls: str, ca_file: str, fingerprint: str) -> Iterator[Complaint]:
    try:
        scheme, _login, _rest = _net_parts(url)
    except ValueError:
        return
    yield from _trust(scheme in _SECURE, scheme, tls, ca_file, fingerprint)
    if fingerprint and scheme == "rtmps":
        yield Complaint("fingerprint", "is not possible with rtmps://", "ca_file")


class NetLive(Upstream, tag="netlive", frozen=True, kw_only=True):
    """A live stream of another protocol: RTMP, MPEG-TS in UDP, and by HTTP MJPEG, HLS, MPEG-TS and FLV. H.264 and H.265
    are passed through unless the stream has `video` settings. See [sources](sources.md#netlive)."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="Its address. A user and password for HTTP may stand in it.",
            extra={"allowed": "rtmp://, rtmps://, http://, https://, udp:// or srt:// and so on", "secret": True},
        ),
    ]

    checks: ClassVar = (
        *Login.checks,
        Check(("url",), _net_url),
        Check(("url", "user", "password", "password_file"), _net_login),
        Check(("url", "tls", "ca_file", "fingerprint"), _net_protection),
        Check(("ca_file",), _ca_file),
    )

    def spec(self, folder: Path) -> wire.Source:
        scheme, login, rest = _net_parts(self.url)
        user, _, password = login.partition(":")
        return wire.NetLive(
            url=f"{scheme}://{rest}",
            user=self.user or unquote(user),
            password=self.secret(folder) or unquote(password),
            basic=self.basic,
            verify=self.tls == "verify",
            ca_file=absolute(folder, self.ca_file),
            fingerprint=self.fingerprint.replace(":", "").lower(),
        )
