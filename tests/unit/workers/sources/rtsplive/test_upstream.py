"""The whole source against servers of all sorts, in this process: what readers get, and what is said if not."""

import contextlib
import hashlib
import itertools
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, cast

import pytest
from camfleet.core.rtp import rtcp
from camfleet.core.wire import RTSPLive, VideoSpec
from camfleet.workers.sources import PictureSource, Place, SourceError, UpstreamPassThrough, arrivals, open_pictures
from camfleet.workers.sources.planes import planes
from camfleet.workers.sources.rtsplive import datagrams, session
from camfleet.workers.sources.rtsplive.link import Link, LinkError
from camfleet.workers.sources.upstream import receiver
from camfleet.workers.sources.upstream import subscription as upstream
from cryptography import x509

from tests.kit import upstream as kit
from tests.kit.access_units import PPS, SPS, START, access_unit, key_access_unit
from tests.kit.authority import Authority
from tests.kit.clips import STEP, units_of, write_clip
from tests.kit.descriptors import descriptors, none_left
from tests.kit.source_reader import Reader
from tests.kit.upstream import Peer, Script, Upstream
from tests.kit.wait import wait_for

NS_PER_S = 1_000_000_000
SETS = "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9oBQBbpqAgICgAAAwACAAADAHgeMGVA,aM48gA==\n"


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread, descriptor or upstream; and time-outs that a test can wait for."""
    monkeypatch.setattr(session, "START_TIMEOUT_NS", 2 * NS_PER_S)
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_NS", NS_PER_S // 2)
    for name in ("SILENCE", "PICTURE"):
        monkeypatch.setattr(receiver, f"{name}_TIMEOUT_NS", NS_PER_S // 2)
    before = descriptors()
    yield
    wait_for(lambda: not any(thread.name in ("upstream", "capture") for thread in threading.enumerate()))
    assert descriptors() - before == set()
    assert upstream._upstreams == {}


def source(server: Upstream, **more: Any) -> RTSPLive:
    return RTSPLive(url=server.url, **more)


# ------------------------------------------------------------ what readers get


def test_the_camera_s_units_as_they_are() -> None:
    with Upstream() as server, Reader(source(server)) as reader:
        units = reader.units(30)
        assert [unit.data for unit in units] == kit.film()[:30]
        assert [unit.key_frame for unit in units] == [n % 5 == 0 for n in range(30)]
        times = [unit.capture_ns for unit in units]
        assert times == sorted(times)
        assert times[-1] <= time.monotonic_ns()
        description = reader.feed.description
        assert description is not None
        assert (description.width, description.height) == (1280, 720)
        assert description.parameter_sets == (SPS, PPS)


def test_what_is_kept_for_later_is_the_newest_group_and_life_is_caught_up_with() -> None:
    units = [*kit.film()[:21], *(access_unit(number, 900) for number in range(21, 28))]
    taken = threading.Event()

    def script(peer: Peer) -> None:
        kit.play(peer)
        for number, unit in enumerate(kit.packets(units)):
            if number == 27:
                assert taken.wait(kit.TIMEOUT_S)
            if number >= 20:
                peer.wait(0.04)  # the newest group comes as in life
            peer.send(b"".join(map(kit.framed, unit)))
        peer.until_gone()

    with Upstream(script) as server, Reader(source(server)) as reader:
        feed = reader.feed
        assert isinstance(feed, UpstreamPassThrough)
        wait_for(lambda: feed.keep() and len(feed._subscription) == 7, kit.TIMEOUT_S)
        began_ns = time.monotonic_ns()
        kept = reader.units(7)
        taken.set()
        (live,) = reader.units(1)
        assert [unit.data for unit in (*kept, live)] == units[20:]
        times = [began_ns, *(unit.capture_ns for unit in (*kept, live)), time.monotonic_ns()]
        assert times == sorted(set(times))


def test_what_was_captured_before_the_stream_s_own_time_is_moved_to_it() -> None:
    later_ns = time.monotonic_ns() + 60 * NS_PER_S
    with Upstream() as server, Reader(source(server), later_ns) as reader:
        times = [unit.capture_ns for unit in reader.units(10)]
        assert times[0] == later_ns
        assert times == sorted(set(times))


def test_parameter_sets_of_the_sdp_come_before_each_key_frame_and_tell_the_stream_at_once() -> None:
    bare = [START + bytes([0x65, 0x80]) + b"x" * 2000, START + bytes([0x61, 0x80]) + b"y" * 90]
    held = threading.Event()

    def script(peer: Peer) -> None:
        kit.play(peer, lines=SETS)
        held.wait(5)
        kit.send_film(peer, bare * 50)

    with Upstream(script) as server, Reader(source(server)) as reader:
        wait_for(lambda: reader.feed.due_ns == 0)
        reader.feed.read(0, False)
        assert reader.feed.description is not None
        assert reader.feed.description.width == 1280
        held.set()
        key, other = (bytes(unit.data) for unit in reader.units(2))
        assert key == START + SPS + START + PPS + bare[0]
        assert other == bare[1]


def test_streams_of_a_camera_share_one_connection_until_the_last_has_gone() -> None:
    with Upstream() as server:
        with Reader(source(server)) as first:
            first.units(3)
            with Reader(source(server)) as second:
                assert second.units(3)[0].key_frame
            first.units(3)
            assert len(server.peers) == 1
        wait_for(lambda: server.peers[0].sock.fileno() == -1)


def test_a_stream_that_does_not_read_goes_on_with_a_key_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_WAITING_SIZE", 20_000)
    with Upstream() as server, Reader(source(server)) as slow, Reader(source(server)) as reader:
        reader.units(60)
        units = slow.units(20)
        assert units[0].key_frame
        assert slow.feed.skipped > 20
        assert len(units) == 20


@pytest.mark.parametrize(("codec", "encoder"), [("h264", "libx264"), ("h265", "libx265")])
def test_pictures_for_all_streams_are_decoded_once(codec: str, encoder: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec=encoder, size=(160, 96), gop=10)

    def script(peer: Peer) -> None:
        kit.play(peer, codec=codec.upper())
        for unit in kit.packets(units_of(clip), codec=codec):
            peer.send(b"".join(map(kit.framed, unit)))
            peer.wait(0.02)
        peer.until_gone()

    with Upstream(script) as server:
        pulled, now_ns = source(server), time.monotonic_ns()
        place = Place("ipc1-stream1", "Lobby", 0, lambda: None)
        streams = [
            open_pictures(pulled, place, VideoSpec(width=width, height=96, fps=50), now_ns) for width in (160, 320)
        ]
        seen: list[set[int]] = [set(), set()]
        wait_for(lambda: look(streams, seen))
        assert len(server.peers) == 1
        for stream in streams:
            stream.close()


def look(streams: list[PictureSource], seen: list[set[int]]) -> bool:
    """Whether each has shown more than ten of the numbers that the pictures tell."""
    for stream, numbers in zip(streams, seen, strict=True):
        picture = stream.picture(0, time.monotonic_ns())
        if picture is not None:
            middle = planes(picture).luma[48, picture.width // 2]
            numbers.add(round((int(middle) - 20) / STEP))
    return all(len(numbers) > 10 for numbers in seen)


# ------------------------------------------------------------ whom it believes


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def certificate(
    authority: Authority, name: str = "127.0.0.1", days: tuple[float, float] = (-1, 30)
) -> tuple[bytes, bytes]:
    alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    return authority.issue("upstream", [alternative], days=days)


def sha256(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


def test_a_private_authority(authority: Authority, tmp_path: Path) -> None:
    root = tmp_path / "ca.pem"
    root.write_bytes(authority.root)
    with Upstream(certificate=certificate(authority), folder=tmp_path) as server:
        with Reader(source(server, ca_file=str(root))) as reader:
            assert [unit.data for unit in reader.units(5)] == kit.film()[:5]
        with Reader(source(server)) as reader:
            assert "a certificate that is not accepted: unable to get local issuer" in reader.failure()
        with Reader(source(server, ca_file=str(tmp_path / "none.pem"))) as reader:
            assert "none.pem: No such file" in reader.failure()
        (tmp_path / "bad.pem").write_text("no certificate")
        with Reader(source(server, ca_file=str(tmp_path / "bad.pem"))) as reader:
            assert "bad.pem has no certificate as PEM" in reader.failure()
        with Reader(source(server, verify=False)) as reader:
            reader.units(5)


@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [
        ("127.0.0.2", (-1, 30), "IP address mismatch"),
        ("example.org", (-1, 30), "IP address mismatch"),
        ("127.0.0.1", (-30, -1), "certificate has expired"),
        ("127.0.0.1", (1, 30), "certificate is not yet valid"),
    ],
)
def test_a_certificate_of_the_authority_for_another_name_or_time(
    authority: Authority, tmp_path: Path, name: str, days: tuple[float, float], reason: str
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.root)
    pair = certificate(authority, name, days)
    with Upstream(certificate=pair, folder=tmp_path) as server:
        with Reader(source(server, ca_file=str(tmp_path / "ca.pem"))) as reader:
            assert reason in reader.failure()
        with Reader(source(server, fingerprint=sha256(pair[0]))) as reader:
            reader.units(5)


def test_another_certificate_than_the_pinned_one_hears_nothing_of_us(authority: Authority, tmp_path: Path) -> None:
    pair = certificate(authority)
    with Upstream(certificate=pair, folder=tmp_path) as server:
        with Reader(source(server, fingerprint="ab" * 32, user="u", password="secret")) as reader:
            failure = reader.failure()
        assert f"another certificate than the one of `fingerprint`, with {sha256(pair[0])}" in failure
        wait_for(lambda: server.peers)
        assert server.peers[0].requests == []


# ------------------------------------------------------------ servers that are none, or are wicked


def plays(then: Callable[[Peer], None]) -> Script:
    def script(peer: Peer) -> None:
        kit.play(peer)
        then(peer)

    return script


def redirects(target: str) -> Script:
    def script(peer: Peer) -> None:
        peer.answer(peer.request())
        own = f"rtsp://127.0.0.1:{peer.sock.getsockname()[1]}/live"
        peer.answer(peer.request(), f"Location: {target.format(own=own)}", status="302 Moved Temporarily")
        peer.until_gone()

    return script


def sends(data: bytes, *, after: int = 0, for_ever: bool = False) -> Script:
    def script(peer: Peer) -> None:
        for _ in range(after):
            peer.answer(peer.request(), body=kit.SDP.format(codec="H264", lines=""))
        peer.send(data)
        while for_ever:
            peer.send(data)
        peer.until_gone()

    return script


def drips(peer: Peer) -> None:
    peer.request()
    while True:
        peer.send(b"R" if not peer.requests[1:] else b"")
        peer.requests.append("drip")
        peer.wait(0.05)


def large_sps(peer: Peer) -> None:
    """100,000 x 100,000, in Baseline profile."""
    units = [START + HUGE_SPS + START + PPS + START + b"\x65\x80" + b"x" * 100]
    kit.send_film(peer, units * 10)


def _golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


_BITS = "011001110100001000000000" + "00101000" + _golomb(0) * 2 + _golomb(2) + _golomb(1) + "0"
_BITS += _golomb(6249) * 2 + "11" + "00" + "1"
HUGE_SPS = int(_BITS + "0" * (-len(_BITS) % 8), 2).to_bytes(-(-len(_BITS) // 8))


def asks_for_ever(peer: Peer) -> None:
    kit.play(peer)
    while True:
        peer.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 1000)


def says_bye(peer: Peer) -> None:
    kit.play(peer)
    for unit in list(kit.packets(kit.film()))[:10]:
        peer.send(b"".join(map(kit.framed, unit)))
    peer.send(rtcp.bye(ssrc=0x11223344, channel=1, cname=b"x"))
    peer.until_gone()


def floods(peer: Peer) -> None:
    """Without any key frame."""
    for unit in kit.packets(itertools.repeat(START + b"\x61\x80" + b"x" * 10_000)):
        peer.send(b"".join(map(kit.framed, unit)))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(lambda _peer: None, "has (closed|cut) the connection", id="closes at once"),
        pytest.param(lambda peer: peer.until_gone(), "not begun to play|not answer a request", id="never answers"),
        pytest.param(drips, "has not begun to play", id="drips"),
        pytest.param(sends(b"\xff" + os.urandom(64) * 1000), "does not speak RTSP", id="noise"),
        pytest.param(sends(b"\x00" * 65_536, for_ever=True), "does not speak RTSP", id="zeros"),
        pytest.param(sends(b"\x15\x03\x01\x00\x02\x02\x28"), "does not speak RTSP", id="TLS"),
        pytest.param(
            sends(b"RTSP/1.0 200 OK\r\nX: " + b"x" * 65_536, for_ever=True), "headers of more", id="1 GB header"
        ),
        pytest.param(
            sends(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 1000000000\r\n\r\n", after=1),
            "body of more",
            id="1 GB SDP",
        ),
        pytest.param(
            sends(b"$\x00\xff\xff" + bytes(65_535), for_ever=True), "not begun|not answer", id="media, no answers"
        ),
        pytest.param(redirects("{own}"), "redirects more than 3 times", id="redirects to itself"),
        pytest.param(redirects("rtsp://127.0.0.9/"), "another host is not followed", id="redirects to loopback"),
        pytest.param(redirects("http://169.254.169.254/"), "redirects to what is no address", id="redirects to HTTP"),
        pytest.param(plays(large_sps), "pictures of 100000x100000, over the limit", id="huge SPS"),
        pytest.param(plays(lambda peer: peer.until_gone()), "has sent no media", id="plays nothing"),
        pytest.param(plays(lambda _peer: None), "has closed the connection", id="closes in play"),
        pytest.param(plays(floods), "no key frame", id="no key frame"),
        pytest.param(asks_for_ever, "without waiting|not read|no media", id="asks for ever"),
        pytest.param(says_bye, "has ended the stream", id="bye"),
        pytest.param(plays(lambda peer: peer.send(b"\x01")), "does not speak RTSP", id="noise in play"),
    ],
)
def test_it_harms_nothing(script: Script, reason: str) -> None:
    with Upstream(script) as server, Reader(source(server)) as reader:
        began_s = time.monotonic()
        failure = reader.failure()
        assert re.search(reason, failure), failure
        assert failure.startswith(f"rtsp://127.0.0.1:{server.port} ")
        assert time.monotonic() - began_s < 3


def test_a_redirect_out_of_tls_is_not_followed(authority: Authority, tmp_path: Path) -> None:
    server = Upstream(redirects("{own}"), certificate=certificate(authority), folder=tmp_path)
    with server, Reader(source(server, verify=False)) as reader:
        assert "out of TLS; that is not followed" in reader.failure()


def test_a_redirect_on_the_same_host_is_followed() -> None:
    with Upstream() as server, Upstream(redirects(server.url)) as first, Reader(source(first)) as reader:
        reader.units(5)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with Reader(RTSPLive(url=f"rtsp://127.0.0.1:{port}/")) as reader:
        assert reader.failure() == f"rtsp://127.0.0.1:{port} cannot be reached: Connection refused"
    with Reader(RTSPLive(url="rtsp://no-such-name.invalid/")) as reader:
        assert "rtsp://no-such-name.invalid:554 has no address" in reader.failure()
    with Reader(RTSPLive(url="rtsp://a..b/")) as reader:
        assert reader.failure() == "rtsp://a..b:554 has no address: that is no name of a host"


@pytest.mark.parametrize("tls", [False, True])
def test_closing_does_not_wait_for_a_server_that_never_answers(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_TIMEOUT_NS", 3600 * NS_PER_S)
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_NS", 3600 * NS_PER_S)
    with Upstream(lambda peer: peer.until_gone()) as server:
        reader = Reader(RTSPLive(url=server.url.replace("rtsp:", "rtsps:") if tls else server.url))
        wait_for(lambda: server.peers)
        began_s = time.monotonic()
        reader.feed.close()
        wait_for(lambda: not any(thread.name in ("upstream", "capture") for thread in threading.enumerate()))
        assert time.monotonic() - began_s < 1


def test_without_descriptors_it_is_said_and_nothing_is_left() -> None:
    def broken(*_: object) -> Never:
        raise SourceError("no")

    with none_left(), pytest.raises(SourceError, match=r"no descriptors left \(ulimit -n\)"):
        Reader(RTSPLive(url="rtsp://127.0.0.1/"))
    with pytest.raises(SourceError, match="no"):
        upstream.subscribe(RTSPLive(url="rtsp://127.0.0.1/"), broken, lambda: None)


def test_a_wrong_password_is_not_tried_again_for_a_minute() -> None:
    """By the same settings."""

    def script(peer: Peer) -> None:
        peer.answer(peer.request())
        while True:
            peer.answer(peer.request(), 'WWW-Authenticate: Digest realm="r", nonce="n"', status="401 Unauthorized")

    with Upstream(script) as server:
        for _ in range(5):
            with Reader(source(server, user="u", password="wrong")) as reader:
                assert "refuses the user or the password" in reader.failure()
        assert len(server.peers) == 1
        with Reader(source(server, user="u", password="other")) as reader:
            reader.failure()
        assert len(server.peers) == 2
        for resting in upstream._upstreams.values():
            assert 0 < resting.rests_until_ns - time.monotonic_ns() <= upstream.REFUSAL_REST_NS
            resting.rests_until_ns = 0
        with Reader(source(server, user="u", password="wrong")) as reader:
            wait_for(lambda: len(server.peers) == 3)
    upstream._upstreams.clear()


def test_a_server_that_ignores_signs_of_life_is_not_left_and_hears_the_end() -> None:
    """Some cameras answer no GET_PARAMETER."""
    heard = list[str]()

    def script(peer: Peer) -> None:
        kit.play(peer, timeout_s=2)
        threading.Thread(target=listen, args=(peer,), daemon=True).start()
        kit.send_film(peer, kit.film())

    def listen(peer: Peer) -> None:
        with contextlib.suppress(kit.GoneError):
            while True:
                heard.append(peer.request().method)

    with Upstream(script) as server:
        with Reader(source(server)) as reader:
            wait_for(lambda: heard, kit.TIMEOUT_S)
            began_ns = time.monotonic_ns()
            while time.monotonic_ns() - began_ns < 1.5 * session.ANSWER_TIMEOUT_NS:
                reader.units(1)
        wait_for(lambda: heard[-1] == "TEARDOWN")
        assert set(heard[:-1]) == {"GET_PARAMETER"}


def test_media_is_awaited_from_the_answer_to_play_on_which_is_awaited_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_NS", 10 * NS_PER_S)
    turns = itertools.count()
    wait = Link.wait
    monkeypatch.setattr(Link, "wait", lambda link, deadline_ns: (next(turns), wait(link, deadline_ns)))
    turned = list[int]()

    def script(peer: Peer) -> None:
        kit.describe(peer)
        peer.answer(peer.request(), "Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        play = peer.request()
        peer.wait(1.5 * receiver.SILENCE_TIMEOUT_NS / NS_PER_S)
        turned.append(next(turns))
        peer.answer(play)
        kit.send_film(peer, kit.film())

    with Upstream(script) as server, Reader(source(server)) as reader:
        reader.units(5)
    assert turned[0] < 20


def test_stamps_and_numbers_that_jump_are_no_failure() -> None:
    def script(peer: Peer) -> None:
        kit.play(peer)
        for number, jump in enumerate((0, 2**31, 5, 3 * 2**30)):
            for unit in kit.packets(kit.film(10), sequence=20_000 * number % 65_536, timestamp=jump):
                peer.send(b"".join(map(kit.framed, unit)))
                peer.wait(0.002)
        peer.until_gone()

    with Upstream(script) as server, Reader(source(server)) as reader:
        # Of each new beginning one packet is needed to see that it is one: its first key frame is lost.
        units = reader.units(10 + 3 * 5)
        times = [unit.capture_ns for unit in units]
        assert times == sorted(times)
        assert times[-1] - times[0] < 2 * NS_PER_S


# ------------------------------------------------------------ UDP


class Datagrams:
    """A server's pair of ports."""

    def __init__(self) -> None:
        self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self.rtp, self.rtcp):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(5)
        self.ports = f"{self.rtp.getsockname()[1]}-{self.rtcp.getsockname()[1]}"

    def __enter__(self) -> "Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self.rtp.close()
        self.rtcp.close()


def play_udp(peer: Peer, own: Datagrams) -> tuple[str, int]:
    setup = kit.play(peer, transport=f"RTP/AVP;unicast;server_port={own.ports}")
    port = int(setup.fields["Transport"].partition("client_port=")[2].partition("-")[0])
    return "127.0.0.1", port


def test_udp_in_any_order_but_of_the_server_only() -> None:
    with (
        Datagrams() as own,
        Datagrams() as stranger,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour,
    ):
        neighbour.bind(("127.0.0.2", own.rtp.getsockname()[1]))

        def script(peer: Peer) -> None:
            place = play_udp(peer, own)
            for unit in kit.packets(kit.film(60)):
                for sock in (stranger.rtp, neighbour):
                    sock.sendto(unit[0][:12] + b"\x65\x80evil", place)
                for packet in reversed(unit):
                    own.rtp.sendto(packet, place)
                peer.wait(0.005)
            peer.until_gone()

        with Upstream(script) as server, Reader(source(server, udp=True)) as reader:
            # The first packet of all comes last, after those that it should go before: it is the one unit that is lost.
            assert [unit.data for unit in reader.units(50)] == kit.film()[5:55]


def test_udp_a_loss_is_told_and_costs_until_the_next_key_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "PICTURE_TIMEOUT_NS", 5 * NS_PER_S)
    with Datagrams() as own:
        wanted = threading.Event()

        def listen() -> None:
            while not wanted.is_set():
                try:
                    said = rtcp.parse(own.rtcp.recv(2000), 0x11223344)
                except OSError:
                    return
                if said.key_frame_wanted:
                    wanted.set()

        def script(peer: Peer) -> None:
            place = play_udp(peer, own)
            threading.Thread(target=listen, daemon=True).start()
            units = [key_access_unit(0), *(access_unit(n, 900) for n in range(300))]
            for number, unit in enumerate(kit.packets(units)):
                if number != 10:
                    for packet in unit:
                        own.rtp.sendto(packet, place)
                peer.wait(0.005)
                if wanted.is_set():
                    break
            for unit in kit.packets(kit.film(50), sequence=number + 40):
                for packet in unit:
                    own.rtp.sendto(packet, place)
                peer.wait(0.005)
            peer.until_gone()

        with Upstream(script) as server, Reader(source(server, udp=True)) as reader:
            units = reader.units(30)
            assert [unit.key_frame for unit in units[:11]] == [True] + [False] * 9 + [True]
            assert reader.feed.skipped > 0
            assert wanted.is_set()


def test_udp_opens_the_firewalls_on_its_way() -> None:
    with Datagrams() as own:
        heard = list[bool]()

        def script(peer: Peer) -> None:
            place = play_udp(peer, own)
            heard.append(own.rtp.recvfrom(100) == (datagrams.PUNCH, place))
            peer.until_gone()

        with Upstream(script) as server, Reader(source(server, udp=True)) as reader:
            reader.failure()
        assert heard == [True]


def test_udp_that_floods_leaves_a_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "MAX_AT_ONCE", 4)
    link = SimpleNamespace(local_address=(socket.AF_INET, "127.0.0.1"), peer_host="127.0.0.1", watch=lambda _: None)
    with contextlib.closing(datagrams.Datagrams.open(cast(Link, link))) as received, Datagrams() as own:
        for number in range(9):
            own.rtcp.sendto(number.to_bytes(2), ("127.0.0.1", received.ports.rtcp))
        found = [list(received.reports()) for _ in range(4)]
    assert [len(turn) for turn in found] == [4, 4, 1, 0]


def test_udp_without_descriptors() -> None:
    link = SimpleNamespace(local_address=(socket.AF_INET, "127.0.0.1"), peer_host="127.0.0.1", watch=lambda _: None)
    with none_left(), pytest.raises(LinkError, match=r"no descriptors left \(ulimit -n\)"):
        datagrams.Datagrams.open(cast(Link, link))


def test_udp_that_no_packet_comes_through() -> None:
    with Datagrams() as own:

        def script(peer: Peer) -> None:
            play_udp(peer, own)
            peer.until_gone()

        with Upstream(script) as server, Reader(source(server, udp=True)) as reader:
            assert 'try `transport` "tcp"' in reader.failure()
