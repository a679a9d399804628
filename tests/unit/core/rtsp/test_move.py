"""A connection that moves to another process: whenever it does, the client sees what it would have seen without."""

import secrets
from collections.abc import Callable, Sequence
from itertools import count

import msgspec
import pytest
from camfleet.core.rtsp import (
    Describe,
    Event,
    Parameters,
    ServerConnection,
    Setup,
    export_connection,
    restore_connection,
)
from camfleet.core.rtsp.errors import LocalProtocolError
from camfleet.core.rtsp.headers.transport import Transport
from camfleet.core.wire.succession import RTSPState

from tests.kit.rtsp import (
    SECOND,
    START_NS,
    TCP,
    URL,
    Client,
    answer,
    connection,
    digest,
    kinds,
    nonce_of,
    parse_replies,
    request,
)

TRACK = URL + "/trackID=0"


def moved(server: ServerConnection, now_ns: int = START_NS) -> tuple[ServerConnection, Event | None]:
    """By bytes, as between processes."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(export_connection(server)), type=RTSPState)
    successor = connection(now_ns=now_ns)
    return successor, restore_connection(successor, state)


def exchange(chunks: Sequence[bytes], *, moving: bool) -> tuple[list[Event], bytes]:
    """`moving`: before each byte that comes and before each answer."""
    server, events, output = connection(), list[Event](), b""
    for chunk in chunks:
        if moving:
            server, waiting = moved(server)
            assert waiting is None
        server.receive_data(chunk, START_NS)
        while (event := server.next_event(START_NS)) is not None:
            output += server.data_to_send()
            events.append(event)
            if moving:
                server, waiting = moved(server)
                assert waiting == event
            answer(server, event)
        output += server.data_to_send()
    return events, output


@pytest.fixture
def same_session_ids(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def begin() -> None:
        numbers = count(1)
        monkeypatch.setattr(secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}")

    return begin


def conversation() -> bytes:
    nonce = nonce_of(Client(connection()).raw("DESCRIBE"))
    session = "Session: " + "1".zfill(32)

    def logged_in(method: str, url: str, nc: int, *fields: str, body: bytes = b"") -> bytes:
        return request(method, url, digest(method, url, nonce, nc=nc), *fields, cseq=nc, body=body)

    return b"".join(
        (
            b"$\x01\x00\x04abcd",
            request("OPTIONS", "*"),
            request("DESCRIBE"),
            logged_in("DESCRIBE", URL + "?w=640", 1, "User-Agent: a\xe9"),
            logged_in("DESCRIBE", URL, 1),  # a replay, wherever the first one was
            logged_in("SETUP", TRACK, 2, f"Transport: {TCP}"),
            logged_in("PLAY", URL, 3, session, "Range: npt=0-", "Scale: 1"),
            b"$\x01\x00\x04abcd",
            logged_in("PLAY", URL, 4, session),
            request("GET_PARAMETER", URL, session, cseq=5, body=b"x: y\r\n"),
            request("GET_PARAMETER", URL, "Session: elsewhere", cseq=5),
            logged_in("PAUSE", URL, 6, session),
            logged_in("PLAY", URL, 7, session),
            logged_in("TEARDOWN", URL, 8, session),
            logged_in("SETUP", TRACK, 9, f"Transport: {TCP}"),
        )
    )


def test_a_move_before_every_byte_and_every_answer_is_not_seen(same_session_ids: Callable[[], None]) -> None:
    data = conversation()
    same_session_ids()
    plain = exchange([data], moving=False)
    assert kinds(plain[0]) == ["Describe", "Setup", "Play", "Pause", "Play", "Teardown", "Setup"]
    assert plain[0][1] == Setup("stream1", 0, Transport((0, 1)), Parameters(width=640))  # as it was described
    statuses = [reply.status for reply in parse_replies(plain[1])]
    assert statuses == [200, 401, 200, 401, 200, 200, 200, 200, 454, 200, 200, 200, 200]
    same_session_ids()
    assert exchange([bytes([byte]) for byte in data], moving=True) == plain


def test_what_came_behind_the_request_that_waits_comes_after_it() -> None:
    client = Client(connection())
    login = client.authorization("DESCRIBE")
    describe = request("DESCRIBE", URL, login, cseq=7)
    client.server.receive_data(describe + request("OPTIONS", "*", cseq=8) + b"OPT", START_NS)
    assert client.server.next_event(START_NS) == Describe("stream1")
    server, event = moved(client.server)
    assert event == Describe("stream1")
    assert server.next_event(START_NS) is None
    server.describe("v=0\r\n")
    assert server.next_event(START_NS) is None
    first, second = parse_replies(server.data_to_send())
    assert (first.cseq, first.body, second.cseq) == ("7", b"v=0\r\n", "8")
    assert server.leftover == b"OPT"
    with pytest.raises(LocalProtocolError):
        server.describe("v=0\r\n")


def test_what_the_session_is_about_moves() -> None:
    client = Client(connection())
    client.play(URL + "?w=640")
    server, _ = moved(client.server)
    assert server.parameters == Parameters(width=640)


def test_time_goes_on() -> None:
    """A move gives no client more of it: to log in, to end its request, to be silent."""
    for part in (b"", b"OPTI", request("OPTIONS", "*"), request("OPTIONS", "*") + b"OPTI"):
        client = Client(connection())
        client.send(part)
        before = client.server.next_deadline()
        server, _ = moved(client.server, START_NS + 5 * SECOND)
        assert server.next_deadline() == before


def test_a_login_counts_for_as_long_as_the_connection() -> None:
    client = Client(connection())
    client.play()
    client.server, _ = moved(client.server)
    assert client.server.user == "viewer"
    assert client.raw("GET_PARAMETER", URL, f"Session: {client.session}").status == 200
    assert client.raw("DESCRIBE").status == 401  # and no longer than before


def test_one_that_closes_after_its_answer_does_so() -> None:
    client = Client(connection())
    client.server.receive_data(request("DESCRIBE", URL, client.authorization("DESCRIBE")), START_NS)
    assert client.server.next_event(START_NS) == Describe("stream1")
    client.server.receive_data(bytes(300_000), START_NS)
    server, _ = moved(client.server)
    assert not server.should_close
    server.describe("v=0\r\n")
    assert server.should_close


@pytest.mark.parametrize("pending", [b"nonsense", b"\0 \0\r\n\r\n", b"PLAY rtsp://h/ipc1 RTSP/1.0\r\n"])
def test_a_request_that_is_none_waits_for_nothing(pending: bytes) -> None:
    state = msgspec.structs.replace(export_connection(connection()), pending=pending, pending_stream="stream1")
    assert restore_connection(connection(), state) is None
