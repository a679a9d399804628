import ipaddress
import json
import socket
import struct
import subprocess

import pytest
from camfleet.supervisor.certs import addresses, host_addresses, host_names

IPV4, IPV6 = ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7")


def message(*attributes: tuple[int, bytes], flags: int = 0) -> bytes:
    """struct ifaddrmsg and its attributes, rtnetlink(7)."""
    data = struct.pack("=BBBBI", socket.AF_INET, 24, flags, 0, 2)
    for kind, value in attributes:
        data += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return data


LABEL = (3, b"eth0:1\0")  # IFA_LABEL, whose padding must be skipped
MESSAGES = [
    (IPV4, message((1, IPV4.packed), (2, IPV4.packed), LABEL)),
    (IPV4, message(LABEL, (2, IPV4.packed))),
    (IPV4, message((1, bytes(4)), (2, IPV4.packed))),  # point-to-point: IFA_ADDRESS is the peer
    (IPV6, message((1, IPV6.packed))),
    (IPV6, message((1, IPV6.packed), flags=0x80)),  # IFA_F_PERMANENT
    (None, message((1, IPV6.packed), flags=0x01)),  # temporary (RFC 8981)
    (None, message((1, IPV6.packed), flags=0x20)),  # deprecated
    (None, message(LABEL)),
]


@pytest.mark.parametrize(("address", "data"), MESSAGES)
def test_parse_address(address: addresses.IPAddress | None, data: bytes) -> None:
    assert addresses.parse_address(data) == address


def test_the_kernel_and_ip_agree() -> None:
    try:
        shown = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no ip command")
    lasting = {
        ipaddress.ip_address(entry["local"])
        for interface in json.loads(shown)
        for entry in interface.get("addr_info", [])
        if not entry.get("temporary") and not entry.get("deprecated")
    }
    loopback = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
    assert set(host_addresses()) == lasting | loopback


def test_loopback_is_there_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    assert [str(address) for address in host_addresses()] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("name", "full", "expected"),
    [
        ("cams", "cams.example.org", ["localhost", "cams", "cams.example.org"]),
        ("cams", "cams", ["localhost", "cams"]),
        ("localhost", "localhost", ["localhost"]),
        ("my_host", "my_host.example.org", ["localhost"]),  # no host name by RFC 1123 2.1
        ("a" * 64, "b." * 127 + "bb", ["localhost"]),
        ("cäms", "cams.", ["localhost"]),
    ],
)
def test_host_names(monkeypatch: pytest.MonkeyPatch, name: str, full: str, expected: list[str]) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, full, ("", 0))])
    assert host_names() == expected


def test_host_names_without_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "gethostname", lambda: "cams")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert host_names() == ["localhost", "cams"]
