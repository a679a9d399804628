"""The exported session goes on where the library stopped: every suite, tickets, resumption, and moves in between."""

import ssl

import pytest
from camfleet.core.tls import Session
from camfleet.supervisor.tls import Driver, HandshakeError, ServerContext, export
from camfleet.supervisor.tls.export import SUITES, key_block, prf
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.kit.tls_client import (
    SUITES_1_2_ECDSA,
    SUITES_1_2_RSA,
    SUITES_1_3,
    BundledClient,
    Client,
    SystemClient,
    always,
    drive,
    establish,
    exchange,
    split_records,
)

APPLICATION_DATA = 23
REQUEST = b"OPTIONS rtsp://localhost/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"
ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


def talk(session: Session, client: Client) -> None:
    """Several exchanges, small and large, with the session moved between them."""
    for size in (0, 1, 16_384, 70_000):
        exchange(session, client, REQUEST + bytes(size), ANSWER + bytes(size))
        session = Session.from_export(session.export(0))
    client.feed(session.seal_alert(0))
    assert client.read() == b""
    assert client.closed


@pytest.mark.parametrize("suite", SUITES_1_3)
def test_every_suite_of_tls_1_3(context: ServerContext, suite: str) -> None:
    client = BundledClient(suites=suite)
    session, info = establish(context, client)
    assert (info.version, info.suite) == ("TLSv1.3", suite)
    talk(session, client)


@pytest.mark.parametrize("suite", SUITES_1_2_ECDSA)
def test_every_ecdsa_suite_of_tls_1_2(context: ServerContext, suite: str) -> None:
    client = BundledClient(version=SSL.TLS1_2_VERSION, suites=suite)
    session, info = establish(context, client)
    assert (info.version, info.suite) == ("TLSv1.2", SUITES[suite].name)
    talk(session, client)


@pytest.mark.parametrize("suite", SUITES_1_2_RSA)
def test_every_rsa_suite_of_tls_1_2(rsa_context: ServerContext, suite: str) -> None:
    client = BundledClient(version=SSL.TLS1_2_VERSION, suites=suite)
    session, info = establish(rsa_context, client)
    assert info.suite == SUITES[suite].name
    talk(session, client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_systems_openssl(context: ServerContext, version: ssl.TLSVersion) -> None:
    client = SystemClient(version=version)
    session, _ = establish(context, client)
    talk(session, client)


def test_what_may_be_shown(context: ServerContext) -> None:
    _, info = establish(context, BundledClient())
    assert info.group == "X25519MLKEM768"
    assert info.server_name == "localhost"
    assert info.certificate_fingerprint == context.fingerprint


def test_x25519_for_a_client_without_mlkem(context: ServerContext) -> None:
    _, info = establish(context, SystemClient())
    assert info.group == "x25519"


# What a client offers; before the first ":" what it sends a share of.
@pytest.mark.parametrize(
    ("offered", "group"),
    [
        ("X25519MLKEM768:X25519", "X25519MLKEM768"),
        ("X25519:X25519MLKEM768", "X25519MLKEM768"),
        ("X25519:P-256", "x25519"),
        ("P-256:X25519", "secp256r1"),
        ("P-384", "secp384r1"),
        ("P-521:X448:P-384", "secp384r1"),
    ],
)
def test_groups(context: ServerContext, offered: str, group: str) -> None:
    client = BundledClient()
    assert lib.SSL_set1_curves_list(client.tls._ssl, offered.encode()) == 1
    _, info = establish(context, client)
    assert info.group == group


@pytest.mark.parametrize("group", ["P-521", "X448", "ffdhe3072"])
def test_groups_that_cost_more_and_gain_nothing(context: ServerContext, group: str) -> None:
    client = BundledClient()
    assert lib.SSL_set1_curves_list(client.tls._ssl, group.encode()) == 1
    with pytest.raises(HandshakeError, match="no suitable key share"):
        establish(context, client)


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a b", "ä", 'a"b'])
def test_a_server_name_that_is_none_is_not_shown(context: ServerContext, name: str) -> None:
    client = BundledClient()
    client.tls.set_tlsext_host_name(name.encode())
    _, info = establish(context, client)
    assert info.server_name == ""


def test_two_tickets_are_two_records(context: ServerContext) -> None:
    session, _ = establish(context, BundledClient())
    assert (session.sending_sequence, session.receiving_sequence) == (2, 0)


@pytest.mark.parametrize("tickets", [0, 1, 2])
def test_as_many_records_as_tickets(context: ServerContext, tickets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library always writes two; without the last of them it is as one that writes fewer."""
    client = BundledClient()
    driver = Driver(always(context))
    client.handshake()
    driver.receive_record(client.output())
    assert driver._connection is not None
    read = driver._connection.bio_read

    def fewer(size: int) -> bytes:
        data = read(size)
        return b"".join(split_records(data)[:tickets]) if data[0] == APPLICATION_DATA else data

    monkeypatch.setattr(driver._connection, "bio_read", fewer)
    client.feed(driver.data_to_send())
    drive(driver, client)
    session, _ = export(driver, 0)
    assert session.sending_sequence == tickets
    talk(session, client)


def test_resumption_of_tls_1_3_renews_one_ticket(context: ServerContext) -> None:
    first = BundledClient()
    session, _ = establish(context, first)
    exchange(session, first, REQUEST, ANSWER)  # the tickets come in with the answer
    again = BundledClient(resume=first)
    session, info = establish(context, again)
    assert again.resumed
    assert session.sending_sequence == 1
    assert info.server_name == "localhost"
    talk(session, again)


@pytest.mark.parametrize("suite", SUITES_1_2_ECDSA)
def test_resumption_of_tls_1_2(context: ServerContext, suite: str) -> None:
    """The abbreviated handshake: the server's Finished goes first (RFC 5246 7.3)."""
    first = BundledClient(version=SSL.TLS1_2_VERSION, suites=suite)
    establish(context, first)
    again = BundledClient(resume=first)
    session, _ = establish(context, again)
    assert again.resumed
    talk(session, again)


def test_no_resumption_by_session_id(context: ServerContext) -> None:
    """It would need a cache of secrets here."""
    first = BundledClient(version=SSL.TLS1_2_VERSION, options=SSL.OP_NO_TICKET)
    driver = Driver(always(context))
    drive(driver, first)
    again = BundledClient(resume=first)
    session, _ = establish(context, again)
    assert not again.resumed
    talk(session, again)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_ticket_of_another_certificate_is_not_accepted(
    context: ServerContext, rsa_context: ServerContext, version: int
) -> None:
    """Bad-input 67: another camera's, or from before a rotation. A full handshake follows."""
    first = BundledClient(version=version)
    session, _ = establish(rsa_context, first)
    exchange(session, first, REQUEST, ANSWER)
    again = BundledClient(resume=first)
    session, info = establish(context, again)
    assert not again.resumed
    assert info.certificate_fingerprint == context.fingerprint
    talk(session, again)


@pytest.mark.parametrize("extended", [True, False])
def test_extended_master_secret(context: ServerContext, extended: bool) -> None:
    """RFC 7627 changes how the master secret comes about, not what is made of it."""
    no_extended_master_secret = 1 << 0  # SSL_OP_NO_EXTENDED_MASTER_SECRET, without a name in pyOpenSSL
    client = BundledClient(version=SSL.TLS1_2_VERSION, options=0 if extended else no_extended_master_secret)
    session, _ = establish(context, client)
    assert bool(lib.SSL_get_extms_support(client.tls._ssl)) is extended
    talk(session, client)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_the_first_request_in_the_segment_of_the_finished(context: ServerContext, version: int) -> None:
    """TLS 1.3, and TLS 1.2 when it resumes: what the client sends at once stays outside the library."""
    first = BundledClient(version=version)
    session, _ = establish(context, first)
    exchange(session, first, REQUEST, ANSWER)
    client = BundledClient(resume=first)
    driver = Driver(always(context))
    (record,) = drive(driver, client, first_request=REQUEST)
    session, _ = export(driver, 0)
    assert session.receive(record, 0) == REQUEST
    client.feed(session.seal(ANSWER, 0))
    assert client.read() == ANSWER


def test_explicit_nonces_go_on_from_the_finished(context: ServerContext) -> None:
    """RFC 5288 3: never one twice under a key."""
    client = BundledClient(version=SSL.TLS1_2_VERSION, suites="ECDHE-ECDSA-AES128-GCM-SHA256")
    driver = Driver(always(context))
    drive(driver, client)
    session, _ = export(driver, 0)
    of_finished = int.from_bytes(driver.last_record[5:13])
    (record,) = split_records(session.seal(ANSWER, 0))
    assert int.from_bytes(record[5:13]) == (of_finished + 1) % 2**64


def test_export_only_of_a_complete_handshake_and_once(context: ServerContext) -> None:
    driver = Driver(always(context))
    with pytest.raises(ValueError, match="not complete"):
        export(driver, 0)
    client = BundledClient()
    client.handshake()
    driver.receive_record(client.output())
    with pytest.raises(ValueError, match="not complete"):
        export(driver, 0)
    client.feed(driver.data_to_send())
    drive(driver, client)
    export(driver, 0)
    with pytest.raises(ValueError, match="already exported"):
        export(driver, 0)


# The vectors that the TLS working group's list used for TLS 1.2 implementations (P_SHA256, P_SHA384).
PRF_VECTORS = [
    (
        "sha256",
        "9bbe436ba940f017b17652849a71db35",
        "a0ba9f936cda311827a6f796ffd5198c",
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17"
        "abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
    ),
    (
        "sha384",
        "b80b733d6ceefcdc71566ea48e5567df",
        "cd665cf6a8447dd6ff8b27555edb7465",
        "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700"
        "884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a2"
        "6066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f",
    ),
]


@pytest.mark.parametrize(("hash_name", "secret", "seed", "output"), PRF_VECTORS)
def test_prf(hash_name: str, secret: str, seed: str, output: str) -> None:
    size = len(output) // 2
    assert prf(hash_name, bytes.fromhex(secret), b"test label", bytes.fromhex(seed), size).hex() == output


def test_key_block_is_cut_in_the_order_of_rfc_5246_6_3() -> None:
    suite = SUITES["ECDHE-ECDSA-AES128-GCM-SHA256"]
    parts = key_block(suite, b"m" * 48, b"s" * 32 + b"c" * 32)
    assert [len(part) for part in parts] == [16, 16, 4, 4]
    assert b"".join(parts) == prf("sha256", b"m" * 48, b"key expansion", b"s" * 32 + b"c" * 32, 40)
