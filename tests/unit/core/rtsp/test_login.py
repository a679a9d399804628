"""ServerConnection: who is let in, by password or by client certificate, and what a failure costs."""

from typing import Any

import pytest
from camfleet.core.rtsp import Describe, Lockout, LoginFailed

from tests.kit.rtsp import (
    SECOND,
    START_NS,
    TCP,
    URL,
    Client,
    authenticator,
    connection,
    digest,
    kinds,
    nonce_of,
    request,
)


@pytest.fixture
def client() -> Client:
    return Client(connection())


def test_challenge_lines() -> None:
    """Interop 61: separate lines, Digest MD5 first, Basic inside TLS only."""
    shared: dict[str, Any] = {"authenticator": authenticator(sha256=True)}
    for secure in (False, True):
        head = Client(connection(secure=secure, **shared)).raw("DESCRIBE").head
        lines = [line for line in head.split("\r\n") if line.startswith("WWW-Authenticate: ")]
        assert ["SHA-256" in line for line in lines] == [False, True, False][: 2 + secure]
        assert lines[0].startswith('WWW-Authenticate: Digest realm="camfleet", nonce="')
        assert ("Basic" in lines[-1]) is secure


@pytest.mark.parametrize(("secure", "status"), [(True, 200), (False, 401)])
def test_basic(secure: bool, status: int) -> None:
    client = Client(connection(secure=secure))
    assert client.raw("DESCRIBE", URL, "Authorization: Basic dmlld2VyOnNlY3JldA==").status == status
    assert "LoginFailed" not in kinds(client.events)


def test_no_credentials_are_no_failure() -> None:
    """Interop 64: FFmpeg and VLC always come once without."""
    lockout = Lockout(user_failures=1, address_failures=1)
    for _ in range(100):
        client = Client(connection(lockout=lockout))
        assert client.raw("DESCRIBE").status == 401
        assert client.events == []
    assert client.ask("DESCRIBE").status == 200


def test_failures_are_reported_one_by_one() -> None:
    client = Client(connection(), "nob\xf6dy", "x")
    for _ in range(3):
        assert client.ask("DESCRIBE").status == 401
    assert client.events == [LoginFailed("nob\xf6dy")] * 3


def test_a_pipelined_failure_is_reported_before_the_next_request(client: Client) -> None:
    good = client.authorization("DESCRIBE")
    bad = good.replace('response="', 'response="0')
    client.send(request("DESCRIBE", URL, bad) + request("DESCRIBE", URL, good) + request("DESCRIBE", URL, bad))
    assert client.events == [LoginFailed("viewer"), Describe("stream1"), LoginFailed("viewer")]


def test_success_clears_the_count() -> None:
    lockout = Lockout(user_failures=3)
    for _ in range(5):
        wrong = Client(connection(lockout=lockout), password="wrong")
        assert [wrong.ask("DESCRIBE").status for _ in range(2)] == [401, 401]
        assert Client(connection(lockout=lockout)).ask("DESCRIBE").status == 200


def test_locked_out() -> None:
    lockout = Lockout()
    lockout.lock("192.0.2.99", "viewer", 10, START_NS)
    client = Client(connection(lockout=lockout))
    assert client.ask("DESCRIBE").status == 403
    assert client.server.should_close
    assert client.events == []


def test_a_keep_alive_outlives_the_nonce(client: Client) -> None:
    """FFmpeg does not read the answer to a keep-alive: a 401 for an old nonce would end its session."""
    client.play()
    client.now_ns += 1000 * SECOND
    assert client.ask("GET_PARAMETER").status == 200
    assert client.raw("GET_PARAMETER").status == 200
    assert client.raw("TEARDOWN").status == 200


def test_a_keep_alive_needs_a_login(client: Client) -> None:
    assert client.raw("GET_PARAMETER").status == 401
    assert client.ask("GET_PARAMETER").status == 200


def test_sha256() -> None:
    client = Client(connection(authenticator=authenticator(sha256=True)))
    nonce = nonce_of(client.raw("DESCRIBE"))
    assert client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, algorithm="SHA-256", nc=1)).status == 200


# ---------------------------------------------------------------- client certificates


def test_no_password_is_asked_for() -> None:
    client = Client(connection(client_user="viewer", secure=True))
    for method, fields in (("DESCRIBE", ()), ("SETUP", (f"Transport: {TCP}",)), ("PLAY", ()), ("TEARDOWN", ())):
        assert client.raw(method, URL, *fields).status == 200
    assert client.server.user == "viewer"


def test_a_name_that_is_no_users_needs_a_password() -> None:
    client = Client(connection(client_user="stranger", secure=True))
    assert client.raw("DESCRIBE").status == 401
    assert client.ask("DESCRIBE").status == 200
    assert client.server.user == "viewer"


def test_credentials_count_when_there_are_any() -> None:
    client = Client(connection(client_user="viewer", secure=True), "guard", "other")
    client.nonce = nonce_of(Client(connection()).raw("DESCRIBE"))
    assert client.ask("DESCRIBE").status == 200
    assert client.server.user == "guard"
    client.password = "wrong"
    assert client.ask("DESCRIBE").status == 401
    assert kinds(client.events)[-1] == "LoginFailed"


def test_who_is_no_user_any_more() -> None:
    known = authenticator()
    client = Client(connection(authenticator=known, client_user="viewer", secure=True))
    assert client.raw("DESCRIBE").status == 200
    known.set_users(())
    assert client.raw("DESCRIBE").status == 401


def test_an_unknown_camera_is_unknown_at_once() -> None:
    client = Client(connection(camera=None, streams=(), client_user="viewer", secure=True))
    assert client.raw("DESCRIBE").status == 404
