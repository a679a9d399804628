"""Which certificate a client gets: the RTSP path, which names the camera, comes only after the handshake."""

from collections.abc import Iterable
from typing import NamedTuple

from camfleet.core.wire.control import Endpoint

from .context import ServerContext


class Entry(NamedTuple):
    """A context and how a client comes to it: by any of these that is not empty."""

    context: ServerContext
    port: int = 0
    server_name: str = ""  # "*.example.org": any first label
    address: str = ""


class Directory:
    """By the port that a client has connected to, the name that it asks for (SNI, RFC 6066 3), the address that it has
    connected to; else the global one. Replaced as a whole when something changes."""

    def __init__(self, default: ServerContext, entries: Iterable[Entry] = ()) -> None:
        self.default = default
        self._ports: dict[int, ServerContext] = {}
        self._names: dict[str, ServerContext] = {}  # a wildcard as ".example.org"
        self._addresses: dict[str, ServerContext] = {}
        for entry in entries:
            if entry.port:
                self._ports[entry.port] = entry.context
            if entry.server_name:
                self._names[entry.server_name.removeprefix("*")] = entry.context
            if entry.address:
                self._addresses[entry.address] = entry.context

    def choose(self, local: Endpoint, server_name: str) -> ServerContext:
        """`server_name` in lower case; empty when the client does not ask for one. A wildcard is one label, and comes
        after the whole name (RFC 9525 6.3)."""
        return (
            self._ports.get(local.port)
            or self._names.get(server_name)
            or self._names.get("." + server_name.partition(".")[2])
            or self._addresses.get(local.host)
            or self.default
        )
