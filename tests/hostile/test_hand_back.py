"""A connection that asks for another camera goes back to the supervisor and on to its worker, in any state."""

import pytest
from OpenSSL import SSL

from tests.hostile.client import OPEN, OTHER_URL, URL, Client
from tests.hostile.conftest import Ward
from tests.kit.rtsp import request
from tests.kit.wait import wait_for

LAYERS = pytest.mark.parametrize("version", [None, SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION], ids=["plain", "1.3", "1.2"])


def connect(ward: Ward, version: int | None) -> Client:
    return ward.client(tls=version is not None, adopted=True, version=version)


def camera_of(content_base: str) -> str:
    return content_base.split("/")[3].partition("-")[0]


def key_update(client: Client, version: int | None) -> None:
    """One that wants an answer."""
    if version == SSL.TLS1_3_VERSION:
        assert client.tls is not None
        client.send_raw(client.tls.update(1))


@LAYERS
def test_100_times_between_two_cameras(ward: Ward, version: int | None) -> None:
    """With a KeyUpdate now and then; only ever one process has the descriptor."""
    with connect(ward, version) as client:
        assert client.ask("DESCRIBE").status == 200
        for number in range(100):
            if number % 20 == 0:  # eight in a second would be a flood
                key_update(client, version)
            url = URL if number % 2 else OTHER_URL
            reply = client.ask("DESCRIBE", url)
            assert reply.status == 200
            assert camera_of(reply.headers["content-base"]) == camera_of(url)
        wait_for(
            lambda: sum(ward.count_descriptors()) == sum(ward.descriptors) + 1,
            why=lambda: f"{ward.count_descriptors()} descriptors, at the start {ward.descriptors}",
        )
        client.play()
        key_update(client, version)
        assert client.outcome() == ([], OPEN)
        client.expect_media()


@LAYERS
def test_100_requests_for_two_cameras_in_one_segment(ward: Ward, version: int | None) -> None:
    with connect(ward, version) as client:
        urls = [URL, OTHER_URL] * 50
        line = {url: client.authorization("DESCRIBE", url) for url in set(urls)}
        client.send(b"".join(request("DESCRIBE", url, line[url], cseq=n) for n, url in enumerate(urls)))
        for number, url in enumerate(urls):
            reply = client.reply()
            assert (reply.status, reply.cseq) == (200, str(number))
            assert camera_of(reply.headers["content-base"]) == camera_of(url)
        assert client.outcome() == ([], OPEN)


@LAYERS
@pytest.mark.parametrize("part", [1, 4, 5, 6, 21, 60, -1])
def test_with_a_part_of_what_follows(ward: Ward, version: int | None, part: int) -> None:
    """Of the next record, or the next request, `part` bytes have come when the connection moves."""
    with connect(ward, version) as client:
        line = client.authorization("DESCRIBE", OTHER_URL)
        first, second = (request("DESCRIBE", OTHER_URL, line, cseq=n) for n in (1, 2))
        if client.tls:
            first, second = client.tls.seal(first), client.tls.seal(second)
        client.send_raw(first + second[:part])
        assert client.reply().status == 200
        client.send_raw(second[part:])
        assert client.reply().status == 200
        assert client.outcome() == ([], OPEN)


@LAYERS
def test_frames_around(ward: Ward, version: int | None) -> None:
    """RTCP of a stream that is over does no harm on the way."""
    frame = b"$\x01\x00\x04abcd"
    with connect(ward, version) as client:
        for url in (OTHER_URL, URL):
            line = client.authorization("DESCRIBE", url)
            client.send(frame * 3 + request("DESCRIBE", url, line) + frame * 3 + request("OPTIONS", url) + frame[:5])
            client.send(frame[5:])
            assert [client.reply().status for _ in range(2)] == [200, 200]
        assert client.outcome() == ([], OPEN)


@LAYERS
def test_from_stream_to_stream(ward: Ward, version: int | None) -> None:
    """Not while a session is on, and then it is another one."""
    with connect(ward, version) as client:
        sessions = set()
        for url, other in [(URL, OTHER_URL), (OTHER_URL, URL)] * 3:
            client.play(url)
            sessions.add(client.session)
            assert client.ask("DESCRIBE", other).status == 454
            assert client.ask("TEARDOWN", url).status == 200
            client.session = ""
            key_update(client, version)
        assert len(sessions) == 6


@LAYERS
def test_gone_on_the_way(ward: Ward, version: int | None) -> None:
    """Closed by the client while the connection is anywhere between the workers."""
    with connect(ward, version) as client:
        source = client.sock.getsockname()[0]
        lines = {url: client.authorization("DESCRIBE", url) for url in (URL, OTHER_URL)}
    for _ in range(20):
        with ward.client(tls=version is not None, adopted=True, version=version, source=source) as client:
            client.send(b"".join(request("DESCRIBE", url, lines[url]) for url in (OTHER_URL, URL) * 5))


def test_f63_a_key_update_flood_is_one_whoever_reads_it(ward: Ward) -> None:
    with connect(ward, SSL.TLS1_3_VERSION) as client:
        assert client.tls is not None
        line = {url: client.authorization("DESCRIBE", url) for url in (URL, OTHER_URL)}
        for url in [OTHER_URL, URL] * 3:
            client.send_raw(
                b"".join(client.tls.update(1) for _ in range(3)) + client.tls.seal(request("DESCRIBE", url, line[url]))
            )
        client.read_to_end()
        assert client.end == "unexpected_message"
