"""What URLs ask of the picture: ve, w, h, fps, vb."""

import msgspec
import pytest
from camfleet.core.bitrate import Bitrate
from camfleet.core.rtsp import Describe, Parameters, Setup
from camfleet.core.rtsp.errors import RefusalError
from camfleet.core.rtsp.parameters import RATES, SIZES
from camfleet.supervisor.config.section import keys
from camfleet.supervisor.config.video import Video
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.rtsp import TCP, URL, Client, connection, exchange

QUERY = "ve=h265&w=640&h=360&fps=10&vb=500k"
ALL = Parameters("h265", 640, 360, 10, 500_000)


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (QUERY, ALL),
        ("VE=HEVC&W=640&H=360&FPS=10&VB=0.5M", ALL),
        ("w=640&vb=500000", Parameters(width=640, bitrate_bps=500_000)),
        ("ve=avc", Parameters(codec="h264")),
        ("%77=640", Parameters(width=640)),
        ("w=640&w=320", Parameters(width=320)),
        ("", Parameters()),
        ("&&=&w640&width=640&profile=1&a=/b", Parameters()),
        ("transport=tcp&w=640&x", Parameters(width=640)),
    ],
)
def test_of_a_query(query: str, parameters: Parameters) -> None:
    assert Parameters.parse(query) == parameters
    assert Parameters.parse(str(parameters)) == parameters
    assert bool(parameters) == (parameters != Parameters())
    assert type(Parameters.parse(query).bitrate_bps) is int  # it goes over the bus


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("ve=mjpeg", "ve: h264 or h265"),
        ("ve=", "ve: h264 or h265"),
        ("w=", "w: an even number from 64 to 4096"),
        ("w=641", "w: an even number from 64 to 4096"),
        ("w=62", "w: an even number from 64 to 4096"),
        ("h=4098", "h: an even number from 64 to 4096"),
        ("h=0000000640", "h: an even number from 64 to 4096"),
        ("h=%D9%A6%D9%A4%D9%A0", "h: an even number from 64 to 4096"),
        ("w=-640", "w: an even number from 64 to 4096"),
        ("w=6e2", "w: an even number from 64 to 4096"),
        ("fps=0", "fps: a whole number from 1 to 120"),
        ("fps=29.97", "fps: a whole number from 1 to 120"),
        ("vb=500", "vb: bits per second from 16k to 100M, as in 500k"),
        ("vb=1G", "vb: bits per second from 16k to 100M, as in 500k"),
        ("w=640&vb=" + "9" * 1000, "vb: bits per second from 16k to 100M, as in 500k"),
    ],
)
def test_a_value_that_cannot_be(query: str, reason: str) -> None:
    with pytest.raises(RefusalError) as refused:
        Parameters.parse(query)
    assert (refused.value.status, refused.value.reason) == (451, reason)


@given(
    st.text()
    | st.lists(st.sampled_from(["ve=", "w=", "h=", "fps=", "vb=", "&", "64", "k", "h265", "%3d"])).map("".join)
)
def test_any_query_is_understood_or_refused(query: str) -> None:
    parameters, refused = Parameters(), None
    try:
        parameters = Parameters.parse(query)
    except RefusalError as refusal:
        refused = refusal
    assert refused is None or (refused.status == 451 and refused.reason.isascii())
    assert Parameters.parse(str(parameters)) == parameters


def test_the_limits_are_those_of_the_configuration() -> None:
    known = {key.name: key for key in keys(Video)}
    for name, allowed in (("width", SIZES), ("height", SIZES), ("fps", RATES)):
        meta = known[name].meta
        assert (meta.ge, meta.le, meta.multiple_of or 1) == (allowed[0], allowed[-1], allowed.step)
    assert isinstance(msgspec.convert("500k", Bitrate, dec_hook=lambda kind, raw: kind.parse(raw)), Bitrate)


# ---------------------------------------------------------------- on a connection


def set_up(client: Client, url: str) -> Setup:
    assert client.ask("SETUP", url, f"Transport: {TCP}").status == 200
    event = client.events[-1]
    assert isinstance(event, Setup)
    return event


@pytest.mark.parametrize(
    "track",
    [
        f"{URL}?{QUERY}/trackID=0",  # FFmpeg before it heeded Content-Base, live555
        f"{URL}/trackID=0?{QUERY}",  # GStreamer
        f"{URL}/trackID=0",  # by Content-Base
        "rtsp://192.0.2.7:8554/ipc1-stream1/trackID=0",  # by RFC 3986, from the URL that was described
    ],
)
def test_what_was_described_is_set_up_wherever_the_client_puts_the_track(track: str) -> None:
    client = Client(connection())
    described = client.ask("DESCRIBE", f"{URL}?{QUERY}")
    assert client.events[-1] == Describe("stream1", ALL)
    assert described.headers["content-base"] == URL + "/"
    assert set_up(client, track).parameters == ALL
    assert client.server.parameters == ALL


def test_what_a_setup_says_itself_goes_before() -> None:
    client = Client(connection())
    client.ask("DESCRIBE", f"{URL}?{QUERY}")
    assert set_up(client, f"{URL}/trackID=0?w=320").parameters == Parameters(width=320)


def test_what_was_described_last_and_of_this_stream_counts() -> None:
    client = Client(connection())
    client.ask("DESCRIBE", f"{URL}?{QUERY}")
    client.ask("DESCRIBE", URL.replace("stream1", "stream2"))
    assert set_up(client, f"{URL}/trackID=0").parameters == Parameters()
    other = Client(connection())
    other.ask("DESCRIBE", f"{URL}?{QUERY}")
    other.ask("DESCRIBE", URL)
    assert set_up(other, f"{URL}/trackID=0").parameters == Parameters()


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP"])
def test_a_bad_value_is_refused_with_the_reason_and_the_connection_goes_on(method: str) -> None:
    client = Client(connection())
    reply = client.ask(method, f"{URL}?w=641", f"Transport: {TCP}")
    assert reply.head.splitlines()[0] == "RTSP/1.0 451 Parameter Not Understood: w: an even number from 64 to 4096"
    assert client.ask("DESCRIBE", URL).status == 200


def test_strangers_are_not_told_what_is_wrong() -> None:
    assert Client(connection()).raw("DESCRIBE", f"{URL}?w=641").status == 401


def test_other_methods_do_not_look_at_it() -> None:
    client = Client(connection())
    client.play(f"{URL}?{QUERY}")
    assert client.ask("GET_PARAMETER", f"{URL}?w=641").status == 200
    assert client.ask("PAUSE", f"{URL}?w=641").status == 200
    assert client.server.parameters == ALL
    assert client.ask("TEARDOWN", f"{URL}?w=641").status == 200
    assert client.server.parameters == Parameters()


def test_a_caller_refuses_with_a_reason() -> None:
    client = Client(connection())
    authorization = client.authorization("DESCRIBE")
    server = client.server
    head = f"DESCRIBE {URL} RTSP/1.0\r\nCSeq: 9\r\n{authorization}\r\n\r\n".encode("latin-1")
    server.receive_data(head, client.now_ns)
    assert server.next_event(client.now_ns) is not None
    server.refuse(453, "no more of them")
    assert server.data_to_send().startswith(b"RTSP/1.0 453 Not Enough Bandwidth: no more of them\r\nCSeq: 9\r\n")
    assert exchange(server, []) == ([], b"")
