"""What the load tool opens without libssl, against the reference record layer."""

import random

import pytest
from camfleet.bench.load.opener import Probe

from tests.kit.tls import key_update
from tests.reference.tls_record import ALERT, HANDSHAKE, SUITES, TLS_1_3, Direction, Suite

TICKET = b"\x04\x00\x00\x06ticket"
WARNING, FATAL, CLOSE_NOTIFY, INTERNAL_ERROR = 1, 2, 0, 80


@pytest.fixture(autouse=True, scope="module")
def each_library(both_gcm_libraries: None) -> None:
    """All of it, twice."""


@pytest.fixture(params=[suite for suite in SUITES if suite.version == TLS_1_3], ids=lambda suite: f"{suite.number:04X}")
def suite(request: pytest.FixtureRequest) -> Suite:
    chosen: Suite = request.param
    return chosen


def ends(suite: Suite) -> tuple[Direction, Probe]:
    """The server's direction, and the client that has read its key log."""
    secret = bytes(range(100, 100 + suite.secret_size))
    log = f"# of a client\nSERVER_HANDSHAKE_TRAFFIC_SECRET {'ab' * 32} {'cd' * suite.secret_size}\n"
    log += f"SERVER_TRAFFIC_SECRET_0 {'ab' * 32} {secret.hex()}\nEXPORTER_SECRET {'ab' * 32} {'ef' * suite.secret_size}"
    return Direction(suite, secret), Probe(log, suite.number)


@pytest.mark.parametrize("cut", ["whole", "bytes", 1, 2, 3])
def test_records_in_any_pieces(suite: Suite, cut: str | int) -> None:
    server, client = ends(suite)
    data = random.Random(5).randbytes(60_000)
    sizes = [0, 1, 16_384, 300, 16_384, 16_384, 9_000]
    stream, at = server.seal(TICKET * 2, HANDSHAKE), 0
    for size in sizes:
        stream += server.seal(data[at : at + size], padding=0 if size > 16_000 else 3)
        at += size
    dice, received = random.Random(cut), b""
    while stream:
        size = {"whole": len(stream), "bytes": 1}.get(str(cut)) or dice.choice((1, 4, 5, 6, 100, 16_406, 40_000))
        received += client.open(stream[:size])
        stream = stream[size:]
    assert received == data[:at]
    assert (client.failure, client.answer_due) == ("", False)


def test_the_next_key(suite: Suite) -> None:
    server, client = ends(suite)
    for request in (0, 1):
        record = server.seal(TICKET + key_update(request), HANDSHAKE)
        server.update()
        assert client.open(record + server.seal(b"after")) == b"after"
        assert (client.failure, client.answer_due) == ("", request == 1)


@pytest.mark.parametrize(
    ("content", "content_type", "failure"),
    [
        (bytes([WARNING, CLOSE_NOTIFY]), ALERT, "closed by the server"),
        (bytes([FATAL, INTERNAL_ERROR]), ALERT, "closed by the server with an alert"),
        (b"\x01", ALERT, "closed by the server with an alert"),
        (TICKET[:5], HANDSHAKE, "unexpected handshake message"),
        (TICKET[:3], HANDSHAKE, "unexpected handshake message"),
        (key_update(0) + TICKET, HANDSHAKE, "unexpected handshake message"),
        (b"\x18\x00\x00\x00", HANDSHAKE, "unexpected handshake message"),
        (b"\x0d\x00\x00\x00", HANDSHAKE, "unexpected handshake message"),
    ],
)
def test_what_ends_it(content: bytes, content_type: int, failure: str) -> None:
    """What came before is good, what comes after is not looked at."""
    server, client = ends(SUITES[0])
    stream = server.seal(b"before") + server.seal(content, content_type) + server.seal(b"after")
    assert client.open(stream) == b"before"
    assert client.failure == failure


@pytest.mark.parametrize("place", [0, 3, 5, 10, -1])
def test_a_byte_that_is_not_the_servers(suite: Suite, place: int) -> None:
    server, client = ends(suite)
    record = bytearray(server.seal(b"x" * 100))
    record[place] ^= 0x80
    assert client.open(bytes(record) + bytes(20_000)) == b""
    assert client.failure in ("a record that cannot be opened", "sent something that is no TLS record")


def test_a_record_comes_once(suite: Suite) -> None:
    server, client = ends(suite)
    record = server.seal(b"once")
    assert client.open(record * 2) == b"once"
    assert client.failure == "a record that cannot be opened"


@pytest.mark.parametrize(
    ("log", "suite"),
    [
        (f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}", 0xC02B),  # TLS 1.2
        (f"SERVER_TRAFFIC_SECRET_0 {'ab' * 32} {'cd' * 32}", 0x1304),  # AES-CCM
        (f"SERVER_TRAFFIC_SECRET_0 {'ab' * 32} {'cd' * 48}", 0x1301),
        (f"SERVER_TRAFFIC_SECRET_0 {'ab' * 32} {'cd' * 64}", 0x1301),
    ],
)
def test_what_stays_with_libssl(log: str, suite: int) -> None:
    with pytest.raises(ValueError, match="not with this suite or secret"):
        Probe(log, suite)
