"""RTSP text: FFmpeg's SETUP from bytes to Request, and with Digest and decision from bytes to reply.

This is what a join costs the worker's main thread beside the media; four such requests bring a reader to PLAYING.
"""

from hashlib import md5

from camfleet.core.rtsp import Authenticator, Lockout, ServerConnection
from camfleet.core.rtsp.message import Request
from camfleet.core.rtsp.reader import Reader
from camfleet.core.wire import UserSpec
from pytest_benchmark.fixture import BenchmarkFixture

URL = "rtsp://192.0.2.7:8554/ipc1-stream1/testlive/trackID=0"
HA1 = md5(b"viewer:camfleet:secret").hexdigest()


def setup_request(nonce: str, response: str) -> bytes:
    return (
        f"SETUP {URL} RTSP/1.0\r\n"
        "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        "CSeq: 4\r\n"
        "User-Agent: Lavf59.27.100\r\n"
        f'Authorization: Digest username="viewer", realm="camfleet", nonce="{nonce}", '
        f'uri="{URL}", response="{response}"\r\n\r\n'
    ).encode()


def test_parse_a_request(benchmark: BenchmarkFixture) -> None:
    data = setup_request("0" * 44, "0" * 32)
    reader = Reader()

    def parse() -> Request:
        reader.receive_data(data)
        message = reader.next_message()
        reader.advance()
        assert isinstance(message, Request)
        return message

    assert benchmark(parse).url == URL


def test_setup_with_digest(benchmark: BenchmarkFixture) -> None:
    authenticator = Authenticator([UserSpec(name="viewer", ha1_md5=HA1)], realm="camfleet", nonce_key=b"k" * 32)
    server = ServerConnection(
        camera="ipc1",
        streams=("stream1",),
        authenticator=authenticator,
        lockout=Lockout(),
        address="192.0.2.99",
        secure=True,
        now_ns=0,
    )
    nonce = authenticator.challenges("192.0.2.99", 0, secure=True)[0].split('"')[3]
    response = md5(f"{HA1}:{nonce}:{md5(f'SETUP:{URL}'.encode()).hexdigest()}".encode()).hexdigest()
    data = setup_request(nonce, response)

    def setup() -> bytes:
        server.receive_data(data, 0)
        assert server.next_event(0) is not None
        server.accept_setup((0, 1), 1)
        return server.data_to_send()

    assert benchmark(setup).startswith(b"RTSP/1.0 200 OK\r\n")
