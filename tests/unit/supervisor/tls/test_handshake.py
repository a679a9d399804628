"""The driver alone: records in any cut, what fails and how it is told, and what stays behind."""

import gc
import hashlib
import ssl
import weakref

import pytest
from camfleet.supervisor.tls import Driver, HandshakeError, ServerContext, export
from camfleet.supervisor.tls.handshake import MAX_HANDSHAKE_SIZE
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.kit.tls_client import BundledClient, SystemClient, always, drive, exchange, split_records

HANDSHAKE, ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC = 22, 21, 23, 20


def record(content_type: int, body: bytes, version: int = 0x0301) -> bytes:
    return bytes((content_type,)) + version.to_bytes(2) + len(body).to_bytes(2) + body


def client_hello(client: BundledClient | SystemClient | None = None) -> bytes:
    """The handshake message of a first flight, without its record header."""
    client = client or SystemClient()
    client.handshake()
    (flight,) = split_records(client.output())
    return flight[5:]


def failure(context: ServerContext, *records: bytes) -> tuple[HandshakeError, bytes]:
    """The error that the last of the records causes, and what is sent on it."""
    driver = Driver(always(context))
    for one in records[:-1]:
        driver.receive_record(one)
    driver.data_to_send()
    with pytest.raises(HandshakeError) as caught:
        driver.receive_record(records[-1])
    assert not driver.complete
    return caught.value, driver.data_to_send()


def test_client_hello_cut_in_two_records_at_every_byte(context: ServerContext) -> None:
    hello = client_hello()
    for cut in range(1, len(hello)):
        driver = Driver(always(context))
        driver.receive_record(record(HANDSHAKE, hello[:cut]))
        assert driver.data_to_send() == b""
        driver.receive_record(record(HANDSHAKE, hello[cut:]))
        assert driver.data_to_send()[0] == HANDSHAKE


def test_client_hello_in_records_of_one_byte(context: ServerContext) -> None:
    """The largest that clients send now, with X25519MLKEM768, and still within MAX_HANDSHAKE_SIZE."""
    client = BundledClient()
    hello = client_hello(client)
    assert len(hello) > 1200
    driver = Driver(always(context))
    for value in hello:
        driver.receive_record(record(HANDSHAKE, bytes((value,))))
    client.feed(driver.data_to_send())
    drive(driver, client)
    session, _ = export(driver, 0)
    exchange(session, client, b"request", b"answer")


def test_hello_retry_request(context: ServerContext) -> None:
    """A client whose key share is of a group that we do not take first asks twice (RFC 8446 4.1.4)."""
    client = BundledClient()
    assert lib.SSL_set1_curves_list(client.tls._ssl, b"P-384:P-256") == 1
    driver = Driver(always(context))
    client.handshake()
    (hello,) = split_records(client.output())
    driver.receive_record(hello)
    retry = driver.data_to_send()
    assert hashlib.sha256(b"HelloRetryRequest").digest() in retry
    client.feed(retry)
    drive(driver, client)
    session, info = export(driver, 0)
    assert info.group == "secp256r1"
    exchange(session, client, b"request", b"answer")


def test_record_size(context: ServerContext) -> None:
    driver = Driver(always(context))
    assert [driver.record_size(b"\x16\x03\x01\x01\x02"[:n]) for n in range(6)] == [0, 0, 0, 0, 0, 263]


def test_only_whole_records_and_only_until_complete(context: ServerContext) -> None:
    driver = Driver(always(context))
    whole = record(HANDSHAKE, client_hello())
    for wrong in (b"", whole[:4], whole[:-1], whole + b"\x17"):
        with pytest.raises(ValueError, match="one whole record"):
            driver.receive_record(wrong)
    client = SystemClient()
    drive(driver, client)
    client.write(b"request")
    with pytest.raises(ValueError, match="until complete"):
        driver.receive_record(client.output())


GARBAGE = [
    ("unexpected_message", [record(ALERT, b"\x02\x30")]),
    ("unexpected_message", [record(ALERT, b"\x01\x00")]),
    ("unexpected_message", [record(APPLICATION_DATA, b"request")]),
    ("unexpected_message", [record(CHANGE_CIPHER_SPEC, b"\x01")]),
    ("unexpected_message", [record(24, b"\x01\x40\x00")]),  # heartbeat
    ("unexpected_message", [record(99, b"\x01")]),
    ("unexpected_message", [record(HANDSHAKE, b"\x14\x00\x00\x20" + bytes(32))]),  # Finished
    ("decode_error", [record(HANDSHAKE, b"\x01\x00\x00\x40" + bytes(64))]),
    ("illegal_parameter", [record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(64))]),
    ("record_overflow", [record(HANDSHAKE, b"\x01\x00\xff\xff" + bytes(16_385 - 4))]),
    ("unexpected_message", [record(HANDSHAKE, b"")] * 33),  # empty records for ever
    ("", [record(HANDSHAKE, b"\x01" * 40, version=0x0002)]),
]


@pytest.mark.parametrize(("alert", "records"), GARBAGE)
def test_garbage(context: ServerContext, alert: str, records: list[bytes]) -> None:
    error, farewell = failure(context, *records)
    assert error.alert == alert
    assert str(error)
    assert bool(farewell) == bool(alert)
    if farewell:
        assert (farewell[0], len(farewell)) == (ALERT, 7)


def test_more_than_a_handshake_can_need(context: ServerContext) -> None:
    """Bad-input 60: a ClientHello of 64 KB ends at the header of the record that would go over the limit."""
    driver = Driver(always(context))
    driver.receive_record(record(HANDSHAKE, b"\x01\x00\xff\xff" + bytes(16_380)))
    rest = MAX_HANDSHAKE_SIZE - 16_389
    assert driver.record_size(record(HANDSHAKE, bytes(rest - 5))) == rest
    with pytest.raises(HandshakeError, match="32768") as caught:
        driver.record_size(record(HANDSHAKE, bytes(rest - 4))[:5])
    assert caught.value.alert == ""


Extension = tuple[int, bytes]


def extended(hello: bytes, extensions: list[Extension]) -> bytes:
    """A ClientHello with these extensions before its own of other numbers (RFC 8446 4.1.2)."""
    position = 4 + 2 + 32
    position += 1 + hello[position]  # session id
    position += 2 + int.from_bytes(hello[position : position + 2])  # suites
    position += 1 + hello[position]  # compression
    own, rest = [], hello[position + 2 :]
    while rest:
        size = int.from_bytes(rest[2:4])
        own.append((int.from_bytes(rest[:2]), rest[4 : 4 + size]))
        rest = rest[4 + size :]
    new = {number for number, _ in extensions}
    everything = extensions + [(number, data) for number, data in own if number not in new]
    block = b"".join(number.to_bytes(2) + len(data).to_bytes(2) + data for number, data in everything)
    body = hello[4:position] + len(block).to_bytes(2) + block
    return b"\x01" + len(body).to_bytes(3) + body


def server_name(name: bytes) -> Extension:
    entry = b"\x00" + len(name).to_bytes(2) + name
    return 0, len(entry).to_bytes(2) + entry


HELLOS = [
    ("", [(40_000 + i, b"") for i in range(1000)]),  # unknown ones are ignored
    ("illegal_parameter", [(23, b"")] * 1000),
    ("", [server_name(b"192.0.2.7")]),
    ("", [server_name(b"no-such-camera.example.org")]),
    ("unrecognized_name", [server_name(b"a\x00b")]),
    ("unrecognized_name", [server_name(b"x" * 256)]),
    ("unrecognized_name", [server_name(b"x" * 12_000)]),
    ("decode_error", [(0, b"\x00\x05")]),
    ("handshake_failure", [(10, b"\x00\x02\xfe\xfe")]),  # supported_groups with none of ours
    ("handshake_failure", [(13, b"\x00\x02\xfe\xfe")]),  # signature_algorithms likewise
]


@pytest.mark.parametrize(("alert", "extensions"), HELLOS)
def test_extensions(context: ServerContext, alert: str, extensions: list[Extension]) -> None:
    """Bad-input 60 and 61."""
    hello = record(HANDSHAKE, extended(client_hello(SystemClient(version=ssl.TLSVersion.TLSv1_2)), extensions))
    if alert:
        error, farewell = failure(context, hello)
        assert (error.alert, farewell[0]) == (alert, ALERT)
    else:
        driver = Driver(always(context))
        driver.receive_record(hello)
        assert driver.data_to_send()[0] == HANDSHAKE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [16, 1000])
def test_max_fragment_length_is_refused(context: ServerContext, version: ssl.TLSVersion, size: int) -> None:
    """RFC 6066 4, which the library would grant, and core.tls does not know."""
    hello = extended(client_hello(SystemClient(version=version)), [(1, b"\x02")])
    error, farewell = failure(context, *(record(HANDSHAKE, hello[i : i + size]) for i in range(0, len(hello), size)))
    assert (error.alert, farewell.hex()) == ("handshake_failure", "15030300020228")
    assert "max_fragment_length" in str(error)


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_old_versions(context: ServerContext, version: int) -> None:
    client = BundledClient(version=version, suites="ALL:@SECLEVEL=0")
    error, farewell = failure(context, record(HANDSHAKE, client_hello(client)))
    assert error.alert == "protocol_version"
    assert farewell[5:] == b"\x02\x46"


OTHER_SUITES = ["eNULL", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM"]


@pytest.mark.parametrize("suites", OTHER_SUITES)
def test_other_suites(context: ServerContext, suites: str) -> None:
    client = BundledClient(version=SSL.TLS1_2_VERSION, suites=suites + ":@SECLEVEL=0")
    error, _ = failure(context, record(HANDSHAKE, client_hello(client)))
    assert (error.alert, str(error)) == ("handshake_failure", "no shared cipher")


def test_the_clients_alert_is_named(context: ServerContext) -> None:
    """Interop 77: a client that does not trust the certificate says so."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = SystemClient(client_context)
    driver = Driver(always(context))
    client.handshake()
    driver.receive_record(client.output())
    client.feed(driver.data_to_send())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    *before, alert = split_records(client.output())
    for one in before:  # change_cipher_spec, for middleboxes
        driver.receive_record(one)
    with pytest.raises(HandshakeError) as caught:
        driver.receive_record(alert)
    assert caught.value.alert == "unknown_ca"
    assert str(caught.value) == "the client refused: unknown_ca"
    assert driver.data_to_send() == b""


def test_a_broken_finished(context: ServerContext) -> None:
    client = SystemClient()
    driver = Driver(always(context))
    client.handshake()
    driver.receive_record(client.output())
    client.feed(driver.data_to_send())
    client.handshake()
    *before, finished = split_records(client.output())
    for one in before:
        driver.receive_record(one)
    with pytest.raises(HandshakeError) as caught:
        driver.receive_record(finished[:-1] + bytes((finished[-1] ^ 1,)))
    assert caught.value.alert == "bad_record_mac"
    assert driver.data_to_send()


def test_a_change_cipher_spec_is_judged_with_what_follows_it(context: ServerContext) -> None:
    client = SystemClient()
    driver = Driver(always(context))
    client.handshake()
    driver.receive_record(client.output())
    client.feed(driver.data_to_send())
    client.handshake()
    *_, finished = split_records(client.output())
    driver.receive_record(record(CHANGE_CIPHER_SPEC, b"\x02"))
    assert not driver.complete
    with pytest.raises(HandshakeError) as caught:
        driver.receive_record(finished)
    assert caught.value.alert == "decode_error"
    assert driver.data_to_send()


def test_suites_are_the_servers_choice(context: ServerContext) -> None:
    aes_128, aes_256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
    for version, wanted, other in (
        (SSL.TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"),
        (SSL.TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"),
        (SSL.TLS1_2_VERSION, aes_128, aes_256),
    ):
        client = BundledClient(version=version, suites=f"{other}:{wanted}")
        drive(Driver(always(context)), client)
        assert client.tls.get_cipher_name() == wanted


def test_a_driver_leaves_nothing_behind(context: ServerContext) -> None:
    """Ten thousand half handshakes (bad-input 65) must not wait for the collector."""
    gc.disable()
    try:
        driver = Driver(always(context))
        driver.receive_record(record(HANDSHAKE, client_hello()))
        assert driver._connection is not None
        connection = weakref.ref(driver._connection)
        del driver
        assert connection() is None
    finally:
        gc.enable()


def test_the_secrets_are_not_shown(context: ServerContext) -> None:
    driver = Driver(always(context))
    drive(driver, SystemClient())
    assert driver.witness.client_secret
    for shown in (repr(driver.witness), repr(driver)):
        assert driver.witness.client_secret.hex() not in shown
        assert repr(driver.witness.client_secret) not in shown
