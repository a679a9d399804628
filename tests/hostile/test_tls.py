"""Bad inputs F (TLS), by row: in the handshake, and after it both before and after the hand-off."""

import os
import signal
import socket
import ssl
import struct
from collections.abc import Callable

import pytest
from camfleet.core.tls.alert import alert_name
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from OpenSSL import SSL

from tests.hostile.client import CLOSED, OPEN, TIMEOUT_S, URL
from tests.hostile.conftest import Ward
from tests.kit.rtsp import request
from tests.kit.rtsp_client import RTSPClient, client_context
from tests.kit.server import PASSWORD, USER
from tests.kit.tls import CLIENT_HELLO, KEY_UPDATE, handshake, key_update
from tests.kit.tls_client import write_pair
from tests.kit.tls_layer import TLSLayer
from tests.kit.wait import wait_for
from tests.reference.tls_record import ALERT, APPLICATION_DATA, HANDSHAKE

VERSIONS = pytest.mark.parametrize("version", [SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION], ids=["1.3", "1.2"])
ONLY_1_3, ONLY_1_2 = (SSL.TLS1_3_VERSION,), (SSL.TLS1_2_VERSION,)
BOTH = ONLY_1_3 + ONLY_1_2
OPTIONS = request("OPTIONS", "*")
USER_CANCELED = b"\1\x5a"


# ---------------------------------------------------------------- handshakes


def extension(number: int, data: bytes) -> bytes:
    return struct.pack("!HH", number, len(data)) + data


def vector(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def server_name(name: bytes) -> bytes:
    return extension(0, vector(b"\0" + vector(name)))


GROUPS = extension(10, vector(bytes.fromhex("001d0017")))
SIGNATURES = extension(13, vector(bytes.fromhex("040304010804")))
NO_GROUP = extension(10, vector(bytes.fromhex("00010002fafa")))
PUBLIC_KEY = X25519PrivateKey.generate().public_key().public_bytes_raw()
KEY_SHARE = extension(51, vector(b"\x00\x1d" + vector(PUBLIC_KEY)))
NO_KEY_SHARE = extension(51, vector(b"\xfa\xfa" + vector(PUBLIC_KEY)))
ONLY_TLS_1_3 = extension(43, b"\x02\x03\x04")
EARLY_DATA, EARLY_RECORD = extension(42, b""), b"\x17\x03\x03\x00\x40" + bytes(64)
GOOD_SUITES = bytes.fromhex("1301c02bc02f")
WEAK_SUITES = bytes.fromhex("0000000100020003000400050006000a002f0035c007c008c012")  # NULL, export, RC4, 3DES, RSA, CBC


def hello(*extensions: bytes, version: int = 0x0303, suites: bytes = GOOD_SUITES) -> bytes:
    """A ClientHello (RFC 8446 4.1.2) in as many records as it takes."""
    body = version.to_bytes(2) + bytes(range(32)) + b"\0" + vector(suites) + b"\1\0"
    message = handshake(CLIENT_HELLO, body + vector(b"".join(extensions)))
    pieces = [message[at : at + 16_384] for at in range(0, len(message), 16_384)]
    return b"".join(b"\x16\x03\x01" + vector(piece) for piece in pieces)


def many(count: int, data: bytes) -> list[bytes]:
    """Extensions that nobody knows."""
    return [extension(0x5000 + n, data) for n in range(count)]


def first_words(ward: Ward, secure_port: bool, *pieces: bytes) -> str:
    """How the server answers: with the handshake, with an alert (its name) or, "", with nothing before it closes."""
    port = ward.server.rtsps_port if secure_port else ward.server.rtsp_port
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (ward.new_address(), 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        said = b""
        while len(said) < 7 and (data := sock.recv(4096)):
            said += data
        if said[:1] == b"\x16":
            return "handshake"
        while data := sock.recv(4096):
            said += data
        assert said[:1] in (b"", b"\x15"), said
        return alert_name(said[6]) if said else ""


GOOD_HELLO = hello(GROUPS, SIGNATURES, server_name(b"localhost"))
HELLOS = [
    ("F59 a byte a segment", [GOOD_HELLO[n : n + 1] for n in range(len(GOOD_HELLO))], "handshake"),
    ("F60 nothing unusual", [GOOD_HELLO], "handshake"),
    ("F60 no extension", [hello()], "handshake_failure"),
    ("F60 1,000 extensions", [hello(GROUPS, SIGNATURES, *many(1000, b""))], "handshake"),
    ("F60 the same extension twice", [hello(GROUPS, GROUPS, SIGNATURES)], "illegal_parameter"),
    ("F60 64 KB", [hello(GROUPS, SIGNATURES, *many(4, bytes(16_000)))], ""),
    ("F60 a record of 64 KB", [b"\x16\x03\x01\xff\xff", bytes(65_535)], ""),
    ("F60 message of 16 MB", [b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"], "illegal_parameter"),
    ("F60 SNI of 64 KB", [hello(GROUPS, SIGNATURES, server_name(b"a" * 65_000))], ""),
    ("F60 SNI of 300 bytes", [hello(GROUPS, SIGNATURES, server_name(b"a" * 300))], "unrecognized_name"),
    ("F60 SNI with NUL", [hello(GROUPS, SIGNATURES, server_name(b"a\0b"))], "unrecognized_name"),
    ("F60 SNI is empty", [hello(GROUPS, SIGNATURES, server_name(b""))], "handshake"),
    ("F60 SNI is an address", [hello(GROUPS, SIGNATURES, server_name(b"127.0.0.1"))], "handshake"),
    ("F60 SNI is unknown", [hello(GROUPS, SIGNATURES, server_name(b"ipc2.example.org"))], "handshake"),
    ("F60 SNI with terminal codes", [hello(GROUPS, SIGNATURES, server_name(b"\x1b]0;x\x07\n"))], "handshake"),
    *((f"F61 only {name}", [hello(GROUPS, SIGNATURES, version=number)], "protocol_version")
      for name, number in (("SSL 3.0", 0x0300), ("TLS 1.0", 0x0301), ("TLS 1.1", 0x0302))),
    ("F61 only TLS 1.4", [hello(GROUPS, SIGNATURES, KEY_SHARE, extension(43, b"\x02\x03\x05"))], "protocol_version"),
    ("F61 only weak suites", [hello(GROUPS, SIGNATURES, suites=WEAK_SUITES)], "handshake_failure"),
    ("F61 only unknown groups, 1.2", [hello(NO_GROUP, SIGNATURES)], "handshake_failure"),
    ("F61 only unknown groups, 1.3", [hello(NO_GROUP, SIGNATURES, ONLY_TLS_1_3, NO_KEY_SHARE)], "handshake_failure"),
    ("F64 early data", [hello(GROUPS, SIGNATURES, ONLY_TLS_1_3, KEY_SHARE, EARLY_DATA), EARLY_RECORD], "handshake"),
    ("F56 garbage in a hello", [b"\x16\x03\x01\x00\x20" + bytes(range(32))], "unexpected_message"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "words"), [case[1:] for case in HELLOS], ids=[case[0] for case in HELLOS])
@pytest.mark.parametrize("secure_port", [True, False], ids=["rtsps_port", "rtsp_port"])
def test_hello(ward: Ward, secure_port: bool, pieces: list[bytes], words: str) -> None:
    assert first_words(ward, secure_port, *pieces) == words


def test_f58_plain_on_the_tls_port(ward: Ward) -> None:
    with ward.client(tls=False, adopted=False, secure_port=True) as client:
        client.send(request("OPTIONS", URL))
        client.read_to_end()
        assert (client.received, client.end) == (b"", CLOSED)


@VERSIONS
def test_f58_tls_on_the_plain_port(ward: Ward, adopted: bool, version: int) -> None:
    with ward.client(tls=True, adopted=adopted, version=version, secure_port=False) as client:
        client.play()
        assert client.outcome() == ([], OPEN)


# ---------------------------------------------------------------- records


Act = Callable[[TLSLayer], bytes]
RENEGOTIATION = handshake(CLIENT_HELLO, bytes(40))


def sealed(content: bytes, content_type: int, times: int = 1) -> Act:
    return lambda tls: b"".join(tls.sending.seal(content, content_type) for _ in range(times))


def updates(tls: TLSLayer, count: int, asked: int = 1) -> bytes:
    return b"".join(tls.update(asked) for _ in range(count))


def bad_mac(tls: TLSLayer) -> bytes:
    record = tls.seal(OPTIONS)
    return record[:-1] + bytes((record[-1] ^ 1,))


RECORDS: list[tuple[str, tuple[int, ...], Act, str]] = [
    ("F62 renegotiation", ONLY_1_2, sealed(RENEGOTIATION, HANDSHAKE, 3), OPEN),
    ("F62 renegotiation flood", ONLY_1_2, sealed(RENEGOTIATION, HANDSHAKE, 4), "unexpected_message"),
    ("F62 renegotiation in 1.3", ONLY_1_3, sealed(RENEGOTIATION, HANDSHAKE), "unexpected_message"),
    ("F63 8 KeyUpdates, all to be answered", ONLY_1_3, lambda tls: updates(tls, 8), OPEN),
    ("F63 KeyUpdate flood", ONLY_1_3, lambda tls: updates(tls, 9), "unexpected_message"),
    ("F63 KeyUpdate flood, nothing asked", ONLY_1_3, lambda tls: updates(tls, 1000, 0), "unexpected_message"),
    ("F63 KeyUpdate of 2", ONLY_1_3, sealed(key_update(2), HANDSHAKE), "illegal_parameter"),
    ("F63 KeyUpdate of 2 bytes", ONLY_1_3, sealed(handshake(KEY_UPDATE, b"\1\1"), HANDSHAKE), "decode_error"),
    ("F63 data within a KeyUpdate", ONLY_1_3,
     lambda tls: tls.sending.seal(key_update(1)[:2], HANDSHAKE) + tls.seal(OPTIONS), "unexpected_message"),
    ("F63 KeyUpdate in 1.2", ONLY_1_2, sealed(key_update(1), HANDSHAKE), "unexpected_message"),
    ("F63 32 empty records", BOTH, sealed(b"", APPLICATION_DATA, 32), OPEN),
    ("F63 33 empty records", BOTH, sealed(b"", APPLICATION_DATA, 33), "unexpected_message"),
    ("F63 empty handshake record", BOTH, sealed(b"", HANDSHAKE), "unexpected_message"),
    ("F63 empty alert", BOTH, sealed(b"", ALERT), "unexpected_message"),
    ("F63 nothing but padding", ONLY_1_3, lambda tls: tls.sending.seal_inner(bytes(100)), "unexpected_message"),
    ("F63 record of 16,641 bytes", BOTH, lambda _: b"\x17\x03\x03\x41\x01" + bytes(16_641), "record_overflow"),
    ("F63 plaintext of 16,385 bytes", BOTH, sealed(bytes(16_385), APPLICATION_DATA), "record_overflow"),
    ("F63 bad MAC", BOTH, bad_mac, "bad_record_mac"),
    ("F63 no room for a MAC", BOTH, lambda _: b"\x17\x03\x03\x00\x08" + bytes(8), "bad_record_mac"),
    ("F63 replay", BOTH, lambda tls: tls.seal(b"\r\n") * 2, "bad_record_mac"),
    ("F63 plain text", BOTH, lambda _: OPTIONS, "unexpected_message"),
    ("F63 change_cipher_spec", ONLY_1_3, lambda _: b"\x14\x03\x03\x00\x01\x01", "unexpected_message"),
    ("F63 change_cipher_spec in the clear", ONLY_1_2, lambda _: b"\x14\x03\x03\x00\x01\x01", "bad_record_mac"),
    ("F63 change_cipher_spec again", ONLY_1_2, sealed(b"\1", 20), "unexpected_message"),
    ("F63 alert in the clear", ONLY_1_3, lambda _: b"\x15\x03\x03\x00\x02\x01\x00", "unexpected_message"),
    ("F63 4 warnings", BOTH, sealed(USER_CANCELED, ALERT, 4), OPEN),
    ("F63 alert flood", BOTH, sealed(USER_CANCELED, ALERT, 1000), "unexpected_message"),
    ("F63 alert of level 3", BOTH, sealed(b"\3\0", ALERT), "illegal_parameter"),
    ("F63 two alerts in one", BOTH, sealed(USER_CANCELED * 2, ALERT), "decode_error"),
    ("F66 close_notify", BOTH, sealed(b"\1\0", ALERT), CLOSED),
]  # fmt: skip
CASES = [
    pytest.param(version, act, end, id=f"{'1.3' if version == SSL.TLS1_3_VERSION else '1.2'}-{name}")
    for name, versions, act, end in RECORDS
    for version in versions
]


@pytest.mark.parametrize(("version", "act", "end"), CASES)
def test_records(ward: Ward, adopted: bool, version: int, act: Act, end: str) -> None:
    with ward.client(tls=True, adopted=adopted, version=version) as client:
        assert client.tls is not None
        client.send_raw(act(client.tls))
        assert client.outcome() == ([], end)


@pytest.mark.parametrize("act", [bad_mac, sealed(b"\1\0", ALERT)], ids=["bad MAC", "close_notify"])
@VERSIONS
def test_f63_f66_while_playing(ward: Ward, version: int, act: Act) -> None:
    with ward.client(tls=True, adopted=True, version=version) as client:
        client.play()
        assert client.tls is not None
        client.send_raw(act(client.tls))
        client.read_to_end()
        assert client.end == ("bad_record_mac" if act is bad_mac else CLOSED)


@VERSIONS
def test_f63_after_a_fatal_alert_nothing_is_said(ward: Ward, adopted: bool, version: int) -> None:
    """RFC 8446 6.2: both sides close at once."""
    with ward.client(tls=True, adopted=adopted, version=version) as client:
        assert client.tls is not None
        client.send_raw(client.tls.sending.seal(b"\2\x28", ALERT))
        client.read_to_end()
        assert client.end == "truncated"


def test_f63_key_updates_are_answered_once_a_time(ward: Ward, adopted: bool) -> None:
    with ward.client(tls=True, adopted=adopted) as client:
        assert client.tls is not None
        for count in (1, 2, 3):
            client.send_raw(updates(client.tls, count))
            assert client.raw("OPTIONS").status == 200
        assert 3 <= client.tls.key_updates <= 6  # those that came together have one answer


@VERSIONS
@pytest.mark.parametrize("part", [0, 3, 20], ids=["no record", "part of a header", "part of a record"])
def test_f66_no_close_notify(ward: Ward, adopted: bool, version: int, part: int) -> None:
    """The end of the bytes without the end of TLS: nothing is done with what is not whole, the end is orderly."""
    with ward.client(tls=True, adopted=adopted, version=version) as client:
        assert client.tls is not None
        client.send_raw(client.tls.seal(OPTIONS)[:part])
        client.sock.shutdown(socket.SHUT_WR)
        client.read_to_end()
        assert (client.replies, client.end) == ([], CLOSED)


# ---------------------------------------------------------------- resumption


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])
def test_f67_resumption_ends_with_the_certificate(ward: Ward, version: ssl.TLSVersion) -> None:
    """A ticket from before is not taken, and the client does not notice; whoever plays already plays on."""
    server = ward.server
    context = client_context(minimum=version, maximum=version)

    def connect(ticket: ssl.SSLSession | None, name: str = "127.0.0.1") -> tuple[bool, bytes, ssl.SSLSession | None]:
        with socket.create_connection(("127.0.0.1", server.rtsps_port), TIMEOUT_S) as plain:
            sock = context.wrap_socket(plain, server_hostname=name, session=ticket)
            with RTSPClient(sock, server.bare_url(), USER, PASSWORD) as client:
                assert client.request("DESCRIBE").status == 200
                return bool(sock.session_reused), client.peer_certificate(), sock.session

    reused, certificate, ticket = connect(None)
    assert not reused
    assert connect(ticket)[:2] == (True, certificate)
    reused, certificate, ticket = connect(ticket, "ipc2.example.org")
    write_pair(server.state_dir / "certs")
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: connect(None)[1] != certificate, why="the new certificate is not served")
    assert not connect(ticket)[0]
