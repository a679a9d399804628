"""The names and addresses by which clients may call this machine, for the certificate's SAN."""

import contextlib
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# rtnetlink(7). Every message:
#     struct nlmsghdr  { u32 len; u16 type; u16 flags; u32 seq; u32 pid }
#     struct ifaddrmsg { u8 family; u8 prefixlen; u8 flags; u8 scope; u32 index }
#     struct rtattr    { u16 len; u16 type } + data, padded to 4, repeated
_NLMSGHDR = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_RTATTR = struct.Struct("=HH")
_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWADDR, _RTM_GETADDR = 2, 3, 20, 22
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_TEMPORARY, _IFA_F_DEPRECATED = 0x01, 0x20

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)


def host_names() -> list[str]:
    """ "localhost", the host's name, and its full name where the resolver knows it."""
    name = socket.gethostname()
    try:
        full = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3]
    except OSError:
        full = name
    names = dict.fromkeys(("localhost", name, full))
    return [n for n in names if len(n) <= 253 and _HOST_NAME.fullmatch(n)]


def host_addresses() -> list[IPAddress]:
    """Loopback and the lasting addresses of all interfaces, IPv4 and IPv6."""
    found: dict[IPAddress, None] = {ipaddress.ip_address("127.0.0.1"): None, ipaddress.ip_address("::1"): None}
    with contextlib.suppress(OSError):  # a sandbox without netlink: the loopback addresses must do
        found.update(dict.fromkeys(_interface_addresses()))
    return list(found)


def _interface_addresses() -> Iterator[IPAddress]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        header = _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
        sock.settimeout(1.0)
        sock.sendto(header + body, (0, 0))
        while True:
            data = sock.recv(65_536)
            while data:
                size, kind, *_ = _NLMSGHDR.unpack_from(data)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                if kind == _RTM_NEWADDR and (address := parse_address(data[_NLMSGHDR.size : size])):
                    yield address
                data = data[size + -size % 4 :]


def parse_address(message: bytes) -> IPAddress | None:
    """The address in a struct ifaddrmsg with its attributes; None for one that will not stay."""
    _family, _prefix, flags, _scope, _index = _IFADDRMSG.unpack_from(message)
    if flags & (_IFA_F_TEMPORARY | _IFA_F_DEPRECATED):
        return None
    attributes = {}
    rest = message[_IFADDRMSG.size :]
    while len(rest) >= _RTATTR.size:
        size, kind = _RTATTR.unpack_from(rest)
        attributes[kind] = rest[_RTATTR.size : size]
        rest = rest[size + -size % 4 :]
    # On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 has IFA_ADDRESS alone otherwise.
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    return ipaddress.ip_address(packed) if packed else None
