"""The settings of certificates: what is wrong, and who gets which."""

from pathlib import Path

import pytest
from camfleet.supervisor.config import ClientPolicy, ConfigurationError, IdentitySettings, Problem, TLSSettings
from camfleet.supervisor.config.read import parse
from camfleet.supervisor.config.settings import resolve

NOWHERE = Path("/nonexistent")
STREAM = '[[cameras.streams]]\nid = "stream1"\nsource = { kind = "testlive" }\n'


def camera(id: str, line: str = "") -> str:
    """Six lines of TOML, five without `line`."""
    return f'[[cameras]]\nid = "{id}"\n{line}{chr(10) * bool(line)}' + STREAM


def tls(text: str) -> TLSSettings:
    return resolve(parse(text.encode(), "f.toml", NOWHERE), None, NOWHERE).tls


# text, line, key, wrong, allowed
WRONG = [
    (
        '[[cameras]]\nid = "global"\n' + STREAM,
        2,
        "cameras[0].id",
        '"global" is the name of the server\'s own certificate',
        "another id",
    ),
    *(
        (
            camera("ipc1", line) + camera("ipc2", line),
            9,
            f"cameras[1].{line.split()[0]}",
            f"{line.partition('= ')[2]} is taken by cameras[0]",
            "one of its own",
        )
        for line in (
            "rtsps_port = 8401",
            'server_name = "ipc1.example.org"',
            'server_name = "*.example.org"',
            'address = "192.0.2.7"',
        )
    ),
    *(
        (
            camera("ipc1", f"server_name = {name}"),
            3,
            "cameras[0].server_name",
            f"{name} is not allowed",
            'a DNS name in lower case, or "*." and a name of two labels or more',
        )
        for name in (
            '"*"',
            '"*.org"',
            '"a.*.org"',
            '"*.*.example.org"',
            '"IPC1.example.org"',
            '"ipc1..org"',
            '"ipc1.org."',
            '"-a.org"',
            '"a b"',
            "1",
        )
    ),
    *(
        (
            camera("ipc1", f'server_name = "{name}"'),
            3,
            "cameras[0].server_name",
            f'"{name[:59]}... is not allowed',
            'a DNS name in lower case, or "*." and a name of two labels or more',
        )
        for name in ("a" * 64, ".".join(["a" * 50] * 5))
    ),
    *(
        (
            camera("ipc1", f"address = {address}"),
            3,
            "cameras[0].address",
            f"{address} is not allowed",
            "an IPv4 or IPv6 address in its shortest form",
        )
        for address in ('"host"', '"0::1"', '"2001:DB8::1"', '"::"', '"0.0.0.0"', '""', "5")
    ),
    (
        "[server]\nrtsp_port = 8401\n" + camera("ipc1") + camera("ipc2", "rtsps_port = 8401"),
        10,
        "cameras[1].rtsps_port",
        "8401 is server.rtsp_port too",
        "a port of its own",
    ),
    (
        camera("ipc1", "rtsps_port = 8322"),
        3,
        "cameras[0].rtsps_port",
        "8322 is server.rtsps_port too",
        "a port of its own",
    ),
    (
        camera("ipc1") + '[cameras.tls]\ncertificate = "a.pem"',
        6,
        "cameras[0].tls.private_key",
        "is missing",
        "certificate and private_key together, or neither",
    ),
    (
        camera("ipc1") + '[cameras.tls]\nalternate_certificate = "a"\nalternate_private_key = "b"',
        6,
        "cameras[0].tls.certificate",
        "is missing",
        "a certificate beside the alternate one",
    ),
    (
        '[tls]\nalternate_private_key = "a.pem"',
        1,
        "tls.alternate_certificate",
        "is missing",
        "alternate_certificate and alternate_private_key together, or neither",
    ),
    (
        '[tls]\nclient_certificates = "required"',
        1,
        "tls.client_ca",
        'is missing with client_certificates = "required"',
        "a PEM file of the authority that signs client certificates",
    ),
    (
        '[tls]\nclient_certificates = "optional"\nclient_ca = "/nonexistent/ca"',
        3,
        "tls.client_ca",
        "/nonexistent/ca: No such file or directory",
        "a file that can be read",
    ),
    (
        camera("ipc1") + camera("ipc2") + '[cameras.tls]\nclient_certificates = "optional"',
        11,
        "cameras[1].tls.client_ca",
        'is missing with client_certificates = "optional"',
        "a path here or in [tls]",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "wrong", "allowed"), WRONG)
def test_wrong(text: str, line: int, key: str, wrong: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tls(text)
    assert [each._replace(of="") for each in caught.value.problems] == [Problem("f.toml", line, key, wrong, allowed)]


def test_nothing_configured() -> None:
    assert tls("") == TLSSettings(identities=(IdentitySettings(name="global"), IdentitySettings(name="ipc1")))


EXAMPLE = (
    """
[tls]
certificate = "a.pem"
private_key = "a.key"
alternate_certificate = "b.pem"
alternate_private_key = "b.key"
profile = "strict"
expired = "refuse"
client_certificates = "optional"
client_ca = "clients.pem"
"""
    + camera("ipc1", "rtsps_port = 8401")
    + """
[cameras.tls]
certificate = "c.pem"
private_key = "c.key"
client_certificates = "required"
client_user = "email"
"""
    + camera("ipc2", 'server_name = "*.example.org"\naddress = "2001:db8::1"')
    + '[cameras.tls]\nclient_certificates = "off"\nclient_ca = "x.pem"\n'
    + camera("ipc3")
)


def test_everything_configured() -> None:
    """A camera without words of its own has those of the server."""
    optional = ClientPolicy(certificates="optional", ca=Path("clients.pem"))
    found = tls(EXAMPLE)
    assert found == TLSSettings(
        profile="strict",
        expired="refuse",
        identities=(
            IdentitySettings(
                name="global",
                files=((Path("a.pem"), Path("a.key")), (Path("b.pem"), Path("b.key"))),
                client=optional,
            ),
            IdentitySettings(
                name="ipc1",
                files=((Path("c.pem"), Path("c.key")),),
                rtsps_port=8401,
                client=ClientPolicy(certificates="required", ca=Path("clients.pem"), user="email"),
            ),
            IdentitySettings(name="ipc2", server_name="*.example.org", address="2001:db8::1"),
            IdentitySettings(name="ipc3", client=optional),
        ),
    )
    assert [identity.reachable for identity in found.identities] == [True, True, True, False]
    assert type(found.identity("ipc2").address) is str  # it goes into messages
    assert found.identity("ipc9").name == "global"


def test_an_alternate_beside_the_default_certificate() -> None:
    found = tls('[tls]\nalternate_certificate = "b.pem"\nalternate_private_key = "b.key"')
    assert found.identities[0].files == ((Path("ssl.ca"), Path("ssl.key")), (Path("b.pem"), Path("b.key")))
