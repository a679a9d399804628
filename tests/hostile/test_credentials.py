"""Bad inputs C (authentication), by row, and what of B and C is about sessions of somebody else."""

import os
import signal
from base64 import b64encode
from functools import partial

import pytest

from tests.hostile.client import CLOSED, OPEN, OTHER_URL, URL, Client
from tests.hostile.conftest import CAMERAS, GUARD, GUARD_PASSWORD, Ward
from tests.kit.rtsp import TCP, digest, nonce_of, request
from tests.kit.server import PASSWORD, USER
from tests.kit.wait import wait_for

TRANSPORT = f"Transport: {TCP}"
NOWHERE_URL = "rtsp://127.0.0.1/nowhere"


LOGIN_FAILURES = 12  # not the default, so that the setting is seen to be obeyed


@pytest.fixture(scope="module")
def limits() -> str:
    return f"login_failures = {LOGIN_FAILURES}"


def basic(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


def claim(username: str) -> str:
    return f'Digest username="{username}", nonce="n", uri="/ipc1", response="00"'


AUTHORIZATIONS = [
    ("C29 empty", ""),
    ("C29 Basic", "Basic"),
    ("C29 Basic =", "Basic ="),
    ("C29 no colon", basic(b"viewer")),
    ("C29 invalid base64", "Basic !!!"),
    ("C29 15 KB", "Basic " + "A" * 15_000),
    ("C29 wrong Basic", basic(b"viewer:wrong")),
    ("C30 Digest =", "Digest ="),
    ("C30 open quote", 'Digest username="'),
    ("C30 1,000 usernames", "Digest " + ",".join(["username=u"] * 1000)),
    ("C30 no nonce", 'Digest username="viewer", uri="/ipc1", response="00"'),
    ("C30 algorithm", claim("viewer") + ", algorithm=MD4"),
    ("C30 auth-int", claim("viewer") + ", qop=auth-int"),
    ("C30 8-bit", 'Digest username="\xff", nonce="\xff", uri="\xff", response="\xff"'),
    ("C35 4-byte UTF-8", claim("\xf0\x9f\x8e\xa5")),
    ("C35 name of 15 KB", claim("u" * 15_000)),
    ("C35 SQL", claim("' OR 1=1; --")),
    ("C35 format", claim("%s%n{0}<b>")),
    ("C35 a forged field", claim(r"x\" level=error event=forged")),
    ("C35 direction marks", claim("\u202ex\u2028y".encode().decode("latin-1"))),
    ("C35 controls in Basic", basic(b"a\x00\x1b[2J\r\ntime=0 level=error event=forged:c")),
]


@pytest.mark.parametrize("value", [case[1] for case in AUTHORIZATIONS], ids=[case[0] for case in AUTHORIZATIONS])
def test_authorization(client: Client, value: str) -> None:
    """The log is looked at after every test."""
    reply = client.raw("DESCRIBE", URL, f"Authorization: {value}")
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Digest ")
    assert "stale" not in reply.head
    assert client.ask("DESCRIBE").status == 200
    assert client.outcome() == ([], OPEN)


def test_c35_nul_in_a_name(client: Client) -> None:
    assert client.raw("DESCRIBE", URL, f"Authorization: {claim(chr(0))}").status == 400
    assert client.outcome() == ([], OPEN)


def test_c29_basic_is_good_in_tls_only(client: Client, tls: bool) -> None:
    reply = client.raw("DESCRIBE", URL, f"Authorization: {basic(f'{USER}:{PASSWORD}'.encode())}")
    assert reply.status == (200 if tls else 401)
    assert ("Basic " in client.raw("DESCRIBE", OTHER_URL).head) is tls


def test_c30_uri_of_another_camera(client: Client) -> None:
    nonce = nonce_of(client.raw("DESCRIBE"))
    line = digest("DESCRIBE", URL, nonce, username=USER, password=PASSWORD, uri=OTHER_URL)
    assert client.raw("DESCRIBE", URL, line).status == 401
    assert client.ask("DESCRIBE").status == 200


def test_c30_nonce_of_another_connection(ward: Ward, tls: bool, adopted: bool) -> None:
    """Of the same address and of another camera it is good; of another address the client is told to take a new one."""
    ours, theirs = ward.new_address(), ward.new_address()
    for source, status in ((ours, 200), (theirs, 401)):
        with ward.client(tls=tls, adopted=True, source=source) as other:
            nonce = nonce_of(other.raw("DESCRIBE", OTHER_URL))
        with ward.client(tls=tls, adopted=adopted, source=ours) as client:
            reply = client.raw("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, username=USER, password=PASSWORD))
            assert reply.status == status
            assert ("stale=true" in reply.head) is (status == 401)


def test_c30_replay(client: Client) -> None:
    nonce = nonce_of(client.raw("DESCRIBE"))
    for nc, status in ((2, 200), (2, 401), (1, 401), (3, 200)):
        line = digest("DESCRIBE", URL, nonce, username=USER, password=PASSWORD, nc=nc)
        reply = client.raw("DESCRIBE", URL, line)
        assert reply.status == status
        assert ("stale=true" in reply.head) is (status == 401)


@pytest.mark.parametrize("camera", CAMERAS)
def test_b21_c31_c32_a_session_is_of_its_connection_user_and_camera(ward: Ward, tls: bool, camera: str) -> None:
    """Whoever knows its id, on the same camera or on the other one, has nothing of it."""
    url = URL.replace("ipc1", camera)
    with ward.client(tls=tls, adopted=True) as owner, ward.client(tls=tls, adopted=False) as thief:
        owner.play()
        session = f"Session: {owner.session}"
        for method in ("PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"):
            assert thief.raw(method, url, session).status == 401
        for method in ("PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SETUP"):
            assert thief.ask(method, url, session, TRANSPORT).status == 454
        for method in ("PLAY", "SETUP"):  # another user on the very connection
            line = owner.authorization(method, URL, GUARD, GUARD_PASSWORD)
            assert owner.raw(method, URL, line, session, TRANSPORT).status == 454
            assert owner.raw(method, URL, line, TRANSPORT).status == 454
        assert owner.raw("TEARDOWN", URL, session).status == 454
        assert owner.ask("PLAY", OTHER_URL).status == 454
        assert owner.raw("DESCRIBE", OTHER_URL).status == 455  # not while a session is on
        assert owner.ask("PLAY").status == 200
        owner.expect_media()
        assert thief.outcome() == owner.outcome() == ([], OPEN)


def test_c33_setup_and_play_need_a_password(ward: Ward, tls: bool) -> None:
    with ward.client(tls=tls, adopted=False) as client:
        assert client.raw("SETUP", URL, TRANSPORT).status == 401
        client.set_up()
        assert client.raw("PLAY").status == 401
        assert client.ask("PLAY").status == 200
        client.expect_media()


def test_c33_a_user_who_is_removed(ward: Ward, tls: bool) -> None:
    """Is gone at once, wherever he is; the others stay."""

    def login(client: Client, method: str) -> int:
        session = [f"Session: {client.session}"] if client.session else []
        line = client.authorization(method, URL, GUARD, GUARD_PASSWORD)
        reply = client.raw(method, URL, line, TRANSPORT, *session)
        client.session = reply.headers.get("session", "").partition(";")[0]
        return reply.status

    def logs_in() -> bool:
        with ward.client(tls=tls, adopted=True) as client:
            return login(client, "DESCRIBE") == 200

    server, tail = ward.server, ward.server.tail
    with ward.client(tls=tls, adopted=True) as ready, ward.client(tls=tls, adopted=True) as playing:
        assert login(ready, "SETUP") == login(playing, "SETUP") == login(playing, "PLAY") == 200
        try:
            server.tail = tail[tail.index("[limits]") :]
            server.write_config(CAMERAS)
            os.kill(server.pid, signal.SIGHUP)
            for client in (ready, playing):
                client.read_to_end()
                assert client.end == CLOSED
            assert not logs_in()
        finally:
            server.tail = tail
            server.write_config(CAMERAS)
            os.kill(server.pid, signal.SIGHUP)
        wait_for(logs_in, why="the user is not back")


def test_c34_10000_wrong_passwords(ward: Ward, tls: bool) -> None:
    """Pipelined over 20 connections, as one for each would mean half a minute of handshakes.

    The user is locked out from that address and nowhere else; soon for the other camera and for none as well.
    """
    source = ward.new_address()
    with ward.client(tls=tls, adopted=True, source=source) as client:
        nonce = nonce_of(client.raw("DESCRIBE"))
    wrong = request("DESCRIBE", URL, digest("DESCRIBE", URL, nonce, username=USER, password="wrong")) * 500
    statuses = []
    for number in range(20):
        with ward.client(tls=tls, adopted=number % 2 == 0, source=source) as client:
            client.send(wrong)
            client.read_to_end()
            assert client.end == CLOSED
            statuses.append([reply.status for reply in client.replies])
    assert statuses == [[401] * LOGIN_FAILURES + [403], *[[403]] * 19]

    def login(url: str, user: str = USER, password: str = PASSWORD) -> int:
        with ward.client(tls=tls, adopted=False, source=source) as client:
            line = digest("DESCRIBE", url, nonce, username=user, password=password)
            return client.raw("DESCRIBE", url, line).status

    def is_locked_out(url: str) -> bool:
        return login(url) == 403

    assert is_locked_out(URL)
    for url in (OTHER_URL, NOWHERE_URL):
        wait_for(partial(is_locked_out, url), why="no lock-out there")
    assert login(OTHER_URL, GUARD, GUARD_PASSWORD) == 200


@pytest.mark.parametrize("url", [URL, NOWHERE_URL], ids=["worker", "supervisor"])
def test_c34_an_address_that_tries_one_user_after_the_other(ward: Ward, tls: bool, url: str) -> None:
    source = ward.new_address()
    with ward.client(tls=tls, adopted=True, source=source) as client:
        nonce = nonce_of(client.raw("DESCRIBE"))
    statuses = []
    for number in range(60):
        with ward.client(tls=tls, adopted=False, source=source) as client:
            line = digest("DESCRIBE", url, nonce, username=f"user{number}", password="wrong")
            statuses.append(client.raw("DESCRIBE", url, line).status)
    assert statuses == [401] * 50 + [403] * 10
    with ward.client(tls=tls, adopted=False, source=source) as client:
        client.nonce = nonce
        assert client.ask("DESCRIBE", url).status == 403
