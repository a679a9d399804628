"""The URLs that the server gives out: rtsps://HOST:PORT/<camera>-<stream>/<source>."""

import contextlib
import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import quote

from camfleet.core.wire import CameraSpec, StreamSpec

from .config import Settings


class Place(NamedTuple):
    """Where a camera is served."""

    scheme: str
    host: str
    port: int


def places(settings: Settings, camera: str, host: str) -> list[Place]:
    """The one to give out first. Over TLS it is where the camera's own certificate is shown, if there is such a place;
    else `host`. The plain port serves TLS too."""
    plain = [Place("rtsp", host, settings.rtsp_port)] if settings.rtsp_port else []
    secure = []
    if settings.rtsps != "off":
        identity = settings.tls.identity(camera)
        name = "" if identity.server_name.startswith("*") else identity.server_name
        port = identity.rtsps_port or settings.rtsps_port or settings.rtsp_port
        secure.append(Place("rtsps", name or identity.address or host, port))
    return plain + secure if settings.rtsps == "available" else secure + plain


def public_host(settings: Settings) -> str:
    """The address to write into URLs: the first configured one, or the host's own when it listens on all."""
    host = settings.hosts[0]
    return primary_address() if ipaddress.ip_address(host).is_unspecified else host


def primary_address() -> str:
    """The address from which this host reaches others; loopback when it is alone."""
    # connect(2) on a datagram socket only chooses the route: nothing is sent to these documentation addresses.
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"


def stream_url(
    scheme: str, host: str, port: int, camera: CameraSpec, stream: StreamSpec, user: str = "", password: str = ""
) -> str:
    """With a user's name, and password when it is known, ready to be pasted into a player."""
    credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    at = f"{credentials}@" if credentials else ""
    bracketed = f"[{host.replace('%', '%25')}]" if ":" in host else host  # RFC 6874: a scope's "%" is escaped
    return f"{scheme}://{at}{bracketed}:{port}/{camera.id}-{stream.id}/{stream.kind}"
