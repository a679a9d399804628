"""Header grammars: value in, value out."""

from base64 import b64encode
from time import process_time

import pytest
from camfleet.core.rtsp import StreamPath
from camfleet.core.rtsp.errors import RemoteProtocolError
from camfleet.core.rtsp.headers.authorization import (
    BasicCredentials,
    DigestCredentials,
    parse_authorization,
    printable,
)
from camfleet.core.rtsp.headers.negotiation import accepts_sdp, required_tags
from camfleet.core.rtsp.headers.range import Range, parse_range
from camfleet.core.rtsp.headers.session import parse_session_id
from camfleet.core.rtsp.headers.transport import Transport, choose_transport
from camfleet.core.rtsp.message import Headers
from camfleet.core.rtsp.reader import Reader

TRANSPORTS = [
    ("RTP/AVP/TCP;unicast;interleaved=0-1", (0, 1)),
    ("rtp/avp/tcp;UNICAST;Interleaved=2-3", (2, 3)),
    ("RTP/AVP/TCP", (0, 1)),  # QuickTime names no channels
    (" RTP/AVP/TCP ; unicast ; interleaved = 4-5 ", (4, 5)),
    ("RTP/AVP/TCP;interleaved=6", (6, 7)),
    ("RTP/AVP/TCP;interleaved=254-255", (254, 255)),
    ("RTP/AVP/TCP;interleaved=255-256", (0, 1)),
    ("RTP/AVP/TCP;interleaved=255", (0, 1)),
    ("RTP/AVP/TCP;interleaved=-1-0", (0, 1)),
    ("RTP/AVP/TCP;interleaved=0-0", (0, 1)),
    ("RTP/AVP/TCP;interleaved=3-2", (0, 1)),
    ("RTP/AVP/TCP;interleaved=0-2", (0, 1)),
    ("RTP/AVP/TCP;interleaved=", (0, 1)),
    ("RTP/AVP/TCP;interleaved", (0, 1)),
    ("RTP/AVP/TCP;=;;", (0, 1)),
    ("RTP/AVP/TCP;interleaved=" + "9" * 5000, (0, 1)),
    ("RTP/AVP/TCP;unicast;mode=play", (0, 1)),
    ('RTP/AVP/TCP;unicast;mode="PLAY"', (0, 1)),
    ('RTP/AVP/TCP;unicast;mode="RECORD"', None),
    ('RTP/AVP/TCP;unicast;mode="PLAY,RECORD";interleaved=2-3', (2, 3)),
    ('RTP/AVP;mode="PLAY,RTP/AVP/TCP"', None),
    ('RTP/AVP;mode="PLAY,RTP/AVP/TCP;interleaved=2-3', (2, 3)),  # a quote without its other one is none
    ("RTP/AVP/TCP;unicast;mode=receive", None),
    ("RTP/AVP/TCP;multicast", None),
    ("RTP/AVP/TCP;unicast;destination=203.0.113.5;source=::%0", (0, 1)),
    ("RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=2-3", (2, 3)),
    ("RTP/AVP/TCP;multicast,RTP/AVP/TCP;interleaved=4-5,RTP/AVP/TCP;interleaved=8-9", (4, 5)),
    ("RTP/AVP,RTP/AVP/UDP;unicast," * 500 + "RTP/AVP/TCP", (0, 1)),
    ("RTP/AVP;unicast;client_port=5000-5001", None),
    ("RTP/AVP/UDP;unicast;client_port=5000-5001", None),
    ("RTP/SAVP/TCP;unicast;interleaved=0-1", None),
    ("RTP/SAVP;unicast", None),
    ("RAW/RAW/UDP;unicast", None),
    ("", None),
    (",;=,", None),
]


@pytest.mark.parametrize(("value", "channels"), TRANSPORTS, ids=[row[0][:60] for row in TRANSPORTS])
def test_transport(value: str, channels: tuple[int, int] | None) -> None:
    assert choose_transport(value) == (None if channels is None else Transport(channels))


def test_transport_text_is_read_back() -> None:
    assert str(Transport((2, 3))) == "RTP/AVP/TCP;unicast;interleaved=2-3"
    assert choose_transport(str(Transport((2, 3)))) == Transport((2, 3))


RANGES = [
    ("npt=now-", Range("npt", None, None)),
    ("npt=0.000-", Range("npt", 0.0, None)),
    ("npt=0-", Range("npt", 0.0, None)),
    ("npt=0.-", Range("npt", 0.0, None)),
    ("npt=5.25-20", Range("npt", 5.25, 20.0)),
    ("npt=1:02:03.5-", Range("npt", 3723.5, None)),
    ("npt=-20", Range("npt", None, 20.0)),
    ("NPT = 0 - ", None),
    ("npt=0-;time=19970123T143720Z", Range("npt", 0.0, None)),
    ("clock=19700101T000001Z-", Range("clock", 1.0, None)),
    ("clock=19700101T000001.5Z-19700102T000000Z", Range("clock", 1.5, 86400.0)),
    ("smpte=10:12:33:20-", Range("smpte", 36753.0, None)),
    ("smpte-30-drop=0:0:1-0:0:2", Range("smpte", 1.0, 2.0)),
    ("npt=::-", None),
    ("npt=0-A", None),
    ("npt=5-2", None),
    ("npt=-", None),
    ("npt=", None),
    ("npt=5", None),
    ("npt", None),
    ("", None),
    ("npt=nan-", None),
    ("npt=1e400-", None),
    ("npt=1:60:00-", None),
    ("npt=\u0661-", None),
    ("smpte=0:0:0:-", None),
    ("smpte=-0:0:1", None),
    ("clock=-", None),
    ("clock=00000101T000000Z-0", None),
    ("clock=00000101T000000Z-", None),
    ("clock=20261332T000000Z-", None),
    ("clock=now-", None),
    ("utc=0-", None),
    ("npt=" + "9" * 65536, None),
]


@pytest.mark.parametrize(("value", "expected"), RANGES, ids=[row[0][:40] for row in RANGES])
def test_range(value: str, expected: Range | None) -> None:
    assert parse_range(value) == expected


@pytest.mark.parametrize("value", ["abc", " abc ", "abc;timeout=60", "abc ; timeout=99999999999", "abc;timeout=-1"])
def test_session(value: str) -> None:
    assert parse_session_id(value) == "abc"


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ([], []),
        ([("Require", "")], []),
        ([("Require", "a, b"), ("require", "c")], ["a", "b", "c"]),
        ([("Require", "www.onvif.org/ver20/backchannel")], ["www.onvif.org/ver20/backchannel"]),
        ([("Proxy-Require", "x")], ["x"]),
        ([("Require", "a\tb")], ["invalid"]),
        ([("Require", "caf\xe9")], ["invalid"]),
        ([("Require", "t" * 65)], ["invalid"]),
    ],
)
def test_required_tags(fields: list[tuple[str, str]], tags: list[str]) -> None:
    assert required_tags(Headers(fields)) == tags


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (None, True),
        ("", True),
        ("application/sdp", True),
        ("Application/SDP;level=2", True),
        ("application/rtsl, application/sdp;level=-2", True),
        ("application/*", True),
        ("*/*;q=0.1", True),
        ("text/html", False),
        ("application/sdpx", False),
        ("text/plain, image/*", False),
    ],
)
def test_accept(accept: str | None, accepted: bool) -> None:
    assert accepts_sdp(Headers([] if accept is None else [("Accept", accept)])) is accepted


DIGEST = 'username="u", realm="r", nonce="n", uri="/p", response="AB"'
PARSED = DigestCredentials(b"u", "n", "/p", "ab", "MD5", None, "", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic dTpw", BasicCredentials(b"u", b"p")),
        ("basic  dTpw ", BasicCredentials(b"u", b"p")),
        ("Basic " + b64encode(b"u:p:q").decode(), BasicCredentials(b"u", b"p:q")),
        ("Basic " + b64encode(b"\x00\xff:").decode(), BasicCredentials(b"\x00\xff", b"")),
        (f"Digest {DIGEST}", PARSED),
        (f"DIGEST  {DIGEST} , ", PARSED),
        (f"Digest {DIGEST.replace(', ', ',')}", PARSED),
        ("Digest username=u,nonce=n,uri=/p,response=ab", PARSED),
        (f"Digest {DIGEST}, opaque=\"\", unknown=\"a, b\"", PARSED),
        (r'Digest username="a\"b\\", nonce="n", uri="/p", response="ab"',
         DigestCredentials(b'a"b\\', "n", "/p", "ab", "MD5", None, "", "")),
        ('Digest username="J\xc3\xa4", nonce="n", uri="/p", response="ab"',
         DigestCredentials("J\xe4".encode(), "n", "/p", "ab", "MD5", None, "", "")),
        (f'Digest {DIGEST}, algorithm=sha-256, qop="auth", nc=00000001, cnonce="c"',
         DigestCredentials(b"u", "n", "/p", "ab", "SHA-256", "auth", "00000001", "c")),
        ("", None),
        ("Basic", None),
        ("Basic =", None),
        ("Basic " + b64encode(b"nocolon").decode(), None),
        ("Basic dTp", None),
        ("Basic d\xe4Tp", None),
        ("Basic !!!!", None),
        ("Bearer abc", None),
        ("Digest", None),
        ("Digest =", None),
        ("Digest ,,,", None),
        ('Digest username="', None),
        (f'Digest {DIGEST}, x="', None),
        (f"Digest {DIGEST} junk", None),
        ("Digest " + ", ".join(['username="u"'] * 1000), None),
        (f'Digest {DIGEST}, username="v"', None),
        (f'Digest {DIGEST.replace("nonce", "once")}', None),
        ("Digest " + "a" * 65536, None),
        ("Digest " + '"' * 65536, None),
        ("Digest " + "\\" * 65536, None),
        ('Digest x="' + "\\" * 65535, None),
    ],
    ids=lambda value: ascii(value)[:50],
)  # fmt: skip
def test_authorization(value: str, expected: object) -> None:
    assert parse_authorization(value) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"viewer", "viewer"),
        ("J\xe4\U0001f3a5".encode(), "J\xe4\U0001f3a5"),
        (b"a\x00b\x1b[31m\r\n", "a\ufffdb\ufffd[31m\ufffd\ufffd"),
        (b"\xff", "\ufffd"),
        ("\x9b\u202e\u2028".encode(), "\ufffd\ufffd\ufffd"),
        (b"x" * 65536, "x" * 64),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_claimed_name_is_printable(name: bytes, text: str) -> None:
    assert printable(name) == text
    assert printable(name).isprintable()


RUN = 16_000  # nearly the longest head
EVIL = [
    *("x" * RUN, " " * RUN, "\t" * RUN, "," * RUN, ";" * RUN, "=" * RUN, '"' * RUN, "\\" * RUN, "-" * RUN, ":" * RUN),
    *(
        "a=" + " " * RUN + "b c",
        "a" + " " * RUN + "b",
        "a=b" + " " * RUN + "c",
        'a="' + "\\" * RUN,
        "a=b," * (RUN // 4),
    ),
    *("npt=" + "0" * RUN + "-", "npt=0." + "0" * RUN + "-x", "npt=" + "0:" * (RUN // 2), "clock=" + "0" * RUN + "Z-"),
    *("RTP/AVP/TCP" + ";interleaved=0-1" * 1000, "RTP/AVP/TCP;mode=" + '"' * RUN, "RTP/AVP/TCP" + ";" * RUN),
    *(
        "/" * RUN,
        "rtsp://" + "a@" * (RUN // 2),
        "rtsp://" + ":" * RUN,
        "rtsp://[" + ":" * RUN,
        "/ipc1?" + "/" * RUN + "<",
    ),
    *("%" * RUN, "/" + "%2f" * (RUN // 3), "trackID=" * (RUN // 8), "/ipc1" + "-a" * (RUN // 2)),
]


@pytest.mark.parametrize("text", EVIL, ids=lambda text: text[:20])
def test_no_value_costs_more_than_linear_work(text: str) -> None:
    """Quadratic work over 16 KB takes more than a second."""
    before = process_time()
    parse_authorization("Digest " + text)
    parse_authorization("Basic " + text)
    parse_range(text)
    choose_transport(text)
    parse_session_id(text)
    StreamPath.parse(text)
    headers = Headers([("Require", text), ("Accept", text)])
    required_tags(headers)
    accepts_sdp(headers)
    reader = Reader()
    reader.receive_data(f"OPTIONS * RTSP/1.0\r\nCSeq:{text}\rx\r\nContent-Length:{text}\r\n\r\n".encode())
    with pytest.raises(RemoteProtocolError):
        reader.next_message()
    assert process_time() - before < 0.3
