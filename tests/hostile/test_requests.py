"""Bad inputs B (headers) and D (transport and state) of somebody who has logged in, by row.

As the first request of a connection where that can be, with a nonce from another one; and on an adopted connection.
"""

import socket
import struct
from collections.abc import Callable

import pytest

from tests.hostile.client import CLOSED, OPEN, OTHER_URL, URL, Client
from tests.hostile.conftest import Ward
from tests.kit.rtsp import TCP, request
from tests.reference.tls_record import ALERT

Act = Callable[[Client], object]
LONG = "x" * 15_000
TRANSPORT = f"Transport: {TCP}"


def no_session(_: Client) -> None:
    pass


def torn_down(client: Client) -> None:
    client.play()
    assert client.ask("TEARDOWN").status == 200


ready, playing = Client.set_up, Client.play

# row and what, state before, method, URL, header lines, status
ASKED: list[tuple[str, Act, str, str, list[str], int]] = [
    *((f"A8 {m} *", no_session, m, "*", [], 404) for m in ("DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN")),
    *((f"A8 {m} *", no_session, m, "*", [], 200) for m in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")),
    *((f"A8 {u}", no_session, "DESCRIBE", u, [], 404)
      for u in ("////", "//trackID=1", "/", URL + "/x", URL + "x", "/ipc1-stream9", "/ipc1/../ipc1", "/%69pc1%00")),
    ("B21 Session of 15 KB", ready, "PLAY", URL, [f"Session: {LONG}"], 454),
    ("B21 8-bit Session", ready, "PLAY", URL, ["Session: \xff\xfe"], 454),
    ("B21 empty Session", ready, "PLAY", URL, ["Session:"], 454),
    ("B21 Session of nobody", no_session, "PLAY", URL, ["Session: 0123456789abcdef"], 454),
    *((f"B21 timeout={t}", ready, "PLAY", URL, [f"Session: {{}};timeout={t}"], 200)
      for t in ("-1", "99999999999999999999", "")),
    ("B21 closed session", torn_down, "PLAY", URL, [], 454),
    ("B21 no session", no_session, "PLAY", URL, [], 455),
    *((f"B22 {f} {m}", no_session, m, URL, [f"{f}: x", TRANSPORT], 551)
      for f in ("Require", "Proxy-Require") for m in ("DESCRIBE", "SETUP", "PLAY")),
    ("B22 invalid tag", no_session, "DESCRIBE", URL, ["Require: \xff"], 551),
    *((f"B23 {r[:30]}", ready, "PLAY", URL, [f"Range: {r}"], 457)
      for r in ("npt=::-", "npt=0-A", "npt=5-2", "smpte=0:0:0:-", "clock=-", "clock=00000101T000000Z-0", LONG, "")),
    *((f"B23 {r}", ready, "PLAY", URL, [f"Range: {r}"], 200) for r in ("npt=now-", "clock=20260101T000000Z-")),
    ("B24 Accept text/html", no_session, "DESCRIBE", URL, ["Accept: text/html"], 406),
    ("B24 Accept of 15 KB", no_session, "DESCRIBE", URL, [f"Accept: {LONG}"], 406),
    *((f"B25 {f}", ready, "PLAY", URL, [f], 200)
      for f in ("Scale: 0", "Scale: NaN", "Speed: 1e400", "Blocksize: 0", "Blocksize: 1000000000000")),
    *((f"D36 client_port={p}", no_session, "SETUP", URL, [f"Transport: RTP/AVP;unicast;client_port={p}"], 461)
      for p in ("0-1", "65535-65536", "5-5", "9-2", "0-65535", "")),
    ("D36 no client_port", no_session, "SETUP", URL, ["Transport: RTP/AVP;unicast"], 461),
    ("D36 no Transport", no_session, "SETUP", URL, [], 400),
    *((f"D37 interleaved={c}", no_session, "SETUP", URL, [f"Transport: RTP/AVP/TCP;interleaved={c}"], 200)
      for c in ("255-256", "-1-0", "0-0", "", "=")),
    ("D37 channels in use", ready, "SETUP", URL, [TRANSPORT], 200),
    *((f"D38 {d}", no_session, "SETUP", URL, [f"Transport: RTP/AVP;unicast;client_port=5000-5001;{d}"], 461)
      for d in ("destination=203.0.113.5", "source=0.0.0.0", "destination=224.0.0.1", "destination=::%0")),
    *((f"D38 TCP {d}", no_session, "SETUP", URL, [f"Transport: RTP/AVP/TCP;unicast;{d}"], 200)
      for d in ("destination=203.0.113.5", "source=0.0.0.0")),
    ("D39 700 alternatives", no_session, "SETUP", URL, ["Transport: " + "RTP/AVP;unicast," * 700], 461),
    ("D39 700 and ours", no_session, "SETUP", URL, ["Transport: " + "RTP/AVP;unicast," * 700 + TCP], 200),
    ("D39 TCP multicast", no_session, "SETUP", URL, ["Transport: RTP/AVP/TCP;multicast"], 461),
    ("D39 SAVP", no_session, "SETUP", URL, ["Transport: RTP/SAVP/TCP;unicast"], 461),
    ("D40 SETUP while playing", playing, "SETUP", URL, [TRANSPORT], 455),
    *((f"D40 track {t}", no_session, "SETUP", f"{URL}/trackID={t}", [TRANSPORT], 404)
      for t in ("999", "-1", "", "1", "00")),
    ("D41 PLAY twice", playing, "PLAY", URL, [], 200),
    ("D41 PAUSE before SETUP", no_session, "PAUSE", URL, [], 455),
    ("D41 PAUSE before PLAY", ready, "PAUSE", URL, [], 455),
    ("D42 TEARDOWN of the track", playing, "TEARDOWN", URL + "/trackID=0", [], 200),
    ("D42 TEARDOWN *", playing, "TEARDOWN", "*", [], 404),
    ("D42 TEARDOWN twice", torn_down, "TEARDOWN", URL, [], 454),
    ("D42 TEARDOWN of nothing", no_session, "TEARDOWN", URL, [], 200),
    ("D47 KeyMgmt", no_session, "SETUP", URL, ['KeyMgmt: prot=mikey;data="00"', TRANSPORT], 200),
]  # fmt: skip
FIRST = [(case[0], *case[2:]) for case in ASKED if case[1] is no_session]


@pytest.mark.parametrize(
    ("before", "method", "url", "fields", "status"), [case[1:] for case in ASKED], ids=[name for name, *_ in ASKED]
)
def test_adopted(ward: Ward, tls: bool, before: Act, method: str, url: str, fields: list[str], status: int) -> None:
    with ward.client(tls=tls, adopted=True) as client:
        before(client)
        reply = client.ask(method, url, *(field.format(client.session) for field in fields))
        check_reply(reply.status, status, reply.headers, fields)
        assert client.outcome() == ([], OPEN)


@pytest.mark.parametrize(
    ("method", "url", "fields", "status"), [case[1:] for case in FIRST], ids=[str(name) for name, *_ in FIRST]
)
def test_first(ward: Ward, tls: bool, method: str, url: str, fields: list[str], status: int) -> None:
    source = ward.new_address()
    with ward.client(tls=tls, adopted=True, source=source) as other:
        other.authorization("DESCRIBE")
    with ward.client(tls=tls, adopted=False, source=source) as client:
        client.nonce = other.nonce
        reply = client.ask(method, url, *fields)
        check_reply(reply.status, status, reply.headers, fields)
        assert client.outcome() == ([], OPEN)


def check_reply(status: int, wanted: int, headers: dict[str, str], fields: list[str]) -> None:
    assert status == wanted
    if status == 551:
        assert headers["unsupported"] in ("x", "invalid")
    if status == 455:
        assert "OPTIONS" in headers["allow"]
    if status == 200 and "interleaved=" in str(fields):
        assert "interleaved=0-1;" in headers["transport"]


def frame(payload: bytes, channel: int = 1, size: int | None = None) -> bytes:
    return b"$" + struct.pack("!BH", channel, len(payload) if size is None else size) + payload


def rtcp(packet_type: int, words: int, body: bytes = b"", first: int = 0x80) -> bytes:
    return struct.pack("!BBH", first, packet_type, words) + body


FRAMES = [
    ("D44 unknown channel", frame(b"abcd", 200)),
    ("D44 length 0", frame(b"") * 100),
    ("D44 length 65535", frame(bytes(65_535))),
    ("D44 RTP to us", frame(rtcp(96, 1) + bytes(8), 0)),
    ("D45 length field too big", frame(rtcp(201, 0xFFFF) + bytes(4))),
    ("D45 length field too small", frame(rtcp(201, 0) + bytes(28))),
    ("D45 padding over the packet", frame(rtcp(201, 1, b"\0\0\0\xff", first=0xA0))),
    ("D45 31 report blocks of one", frame(rtcp(201, 7, bytes(28), first=0x9F))),
    ("D45 BYE of a stranger", frame(rtcp(203, 1, b"\xde\xad\xbe\xef", first=0x81))),
    ("D45 version 0", frame(rtcp(201, 1, bytes(4), first=0x00))),
    ("D45 APP of 64 KB", frame(rtcp(204, 16_382) + bytes(65_528))),
    ("D45 500 packets in one", frame(rtcp(201, 0) * 500)),
    ("D45 key frame wanted, 1000 times", frame(rtcp(206, 2, bytes(8), first=0x81)) * 1000),
    ("D45 key frame of a stranger wanted", frame(rtcp(206, 2, b"\xde\xad\xbe\xef" * 2, first=0x81))),
]


@pytest.mark.parametrize("data", [case[1] for case in FRAMES], ids=[case[0] for case in FRAMES])
def test_frames_of_a_reader(ward: Ward, tls: bool, data: bytes) -> None:
    with ward.client(tls=tls, adopted=True) as client:
        client.play()
        client.send(data)
        client.send(data, request("OPTIONS", URL) + data)  # a frame behind text takes another way
        assert client.outcome() == ([200], OPEN)
        client.expect_media()


def test_d40_setup_twice_is_one_session(ward: Ward, tls: bool) -> None:
    with ward.client(tls=tls, adopted=True) as client:
        client.set_up()
        first = client.session
        client.set_up()
        assert client.session == first
        assert client.ask("PLAY").status == 200
        client.expect_media()


def test_d37_two_readers_with_the_same_and_with_other_channels(ward: Ward, tls: bool) -> None:
    with ward.client(tls=tls, adopted=True) as one, ward.client(tls=tls, adopted=True) as other:
        one.play()
        reply = other.ask("SETUP", URL, "Transport: RTP/AVP/TCP;unicast;interleaved=254-255")
        assert "interleaved=254-255;" in reply.headers["transport"]
        other.session = reply.headers["session"].partition(";")[0]
        assert other.ask("PLAY").status == 200
        other.expect_media()
        assert b"$\xfe" in other.received
        one.expect_media()


def test_d43_whoever_only_listens_any_more_has_his_answers(ward: Ward, tls: bool, adopted: bool) -> None:
    """The last word is in the segment of the last request, and the last answer takes its time."""
    source = ward.new_address()
    with ward.client(tls=tls, adopted=True, source=source) as other:
        line = other.authorization("DESCRIBE")
        other_line = other.authorization("DESCRIBE", OTHER_URL)
    with ward.client(tls=tls, adopted=adopted, source=source) as client:
        asked = request("OPTIONS", URL) + request("DESCRIBE", OTHER_URL, other_line) + request("DESCRIBE", URL, line)
        client.send_raw(client.tls.seal(asked) + client.tls.sending.seal(b"\1\0", ALERT) if client.tls else asked)
        client.sock.shutdown(socket.SHUT_WR)
        client.read_to_end()
        assert ([reply.status for reply in client.replies], client.end) == ([200] * 3, CLOSED)


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "methods", [(), ("SETUP",), ("SETUP", "PLAY"), ("DESCRIBE",)], ids=lambda m: "-".join(m) or "-"
)
def test_d43_gone_in_the_middle(ward: Ward, tls: bool, reset: bool, methods: tuple[str, ...]) -> None:
    """Whatever has been asked for is not waited for."""
    for _ in range(10):
        with ward.client(tls=tls, adopted=True) as client:
            lines = {method: client.authorization(method) for method in ("DESCRIBE", "SETUP", "PLAY")}
            client.send(b"".join(request(method, URL, lines[method], TRANSPORT) for method in methods))
            if reset:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
