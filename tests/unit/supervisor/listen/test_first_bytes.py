import pytest
from camfleet.supervisor.listen.first_bytes import Protocol, classify

FIRST_BYTES = [
    (b"\x16\x03\x01\x02\x00", Protocol.TLS),
    (b"\x16\x03", Protocol.TLS),
    (b"\x16\x02\x00", Protocol.UNKNOWN),
    (b"OPTIONS rtsp", Protocol.RTSP),
    (b"describe", Protocol.RTSP),  # bad-input 7: its reader answers
    (b"\r\nOPTIONS", Protocol.RTSP),  # bad-input 1
    (b"\tOPTIONS", Protocol.RTSP),
    (b" OPTIONS", Protocol.RTSP),  # bad-input 2
    (b"$\x00\x00\x04", Protocol.RTSP),  # bad-input 44
    (b"GET / HTTP/1.1", Protocol.RTSP),
    (b"PRI * HTTP/2.0", Protocol.RTSP),
    (b"SSH-2.0-OpenSSH_9.2", Protocol.RTSP),
    (b"\x80\x2e\x01\x00\x02", Protocol.UNKNOWN),  # SSL 2 ClientHello
    (b"\x15\x03\x03\x00\x02", Protocol.UNKNOWN),  # an alert is no beginning
    (b"\x05\x01\x00", Protocol.UNKNOWN),  # SOCKS 5
    (b"\x00\x00\x00\x85\xffSMB", Protocol.UNKNOWN),
    (b"\x7f\x00", Protocol.UNKNOWN),
    (b"\xef\xbb\xbfOPTIONS", Protocol.UNKNOWN),
]


@pytest.mark.parametrize(("data", "protocol"), FIRST_BYTES)
def test_classify_in_any_cut(data: bytes, protocol: Protocol) -> None:
    verdicts = [classify(data[:n]) for n in range(len(data) + 1)]
    decided = verdicts.index(protocol)
    assert verdicts[:decided] == [None] * decided
    assert set(verdicts[decided:]) == {protocol}
