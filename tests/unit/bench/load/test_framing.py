import pytest
from camfleet.bench.load.framing import items

PLAIN = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"
BODY = b"RTSP/1.0 200 OK\r\ncontent-length:  5\r\nCSeq: 2\r\n\r\n$v=0\n"
EMPTY_BODY = b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
BARE = b"RTSP/1.0 200 OK\nContent-Length: 2\n\nab"
STREAM = [
    (None, PLAIN),
    (0, b"rtp"),
    (1, b""),
    (None, BODY),
    (255, b"$" * 65_535),
    (None, EMPTY_BODY),
    (None, BARE),
    (None, b"\r\n" + PLAIN),  # empty lines before a message belong to it
]


def encoded(channel: int | None, data: bytes) -> bytes:
    return data if channel is None else b"$" + bytes([channel]) + len(data).to_bytes(2) + data


def test_items_of_every_kind() -> None:
    assert items(b"".join(encoded(*item) for item in STREAM)) == (STREAM, b"")


@pytest.mark.parametrize("item", STREAM[:4] + STREAM[5:])
def test_no_item_before_its_last_byte(item: tuple[int | None, bytes]) -> None:
    whole = encoded(*item)
    for size in range(len(whole)):
        assert items(whole[:size]) == ([], whole[:size])
    assert items(whole + b"$") == ([item], b"$")


@pytest.mark.parametrize(
    "stream",
    [
        b"x" * 65_536,
        b"RTSP/1.0 200 OK\r\nContent-Length: 65536\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        PLAIN + b"a: b\r\n" * 20_000,
    ],
)
def test_messages_over_64_kib_are_none(stream: bytes) -> None:
    with pytest.raises(ValueError, match="neither"):
        items(stream)
