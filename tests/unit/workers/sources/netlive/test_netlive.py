"""Servers of HTTP, RTMP and UDP: what readers get, whom it believes, and where it may not be led."""

import base64
import http.server
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import av
import pytest
from camfleet.core.wire import NetLive, VideoSpec
from camfleet.workers.sources import Place, SourceError, open_pictures
from camfleet.workers.sources.netlive import fetch, session
from camfleet.workers.sources.netlive.datagrams import Datagrams
from camfleet.workers.sources.rtsplive import link
from camfleet.workers.sources.upstream import Interrupt, subscription
from cryptography import x509

from tests.kit.authority import Authority
from tests.kit.clips import number_of, units_of, write_clip
from tests.kit.descriptors import descriptors
from tests.kit.publishers import ffmpeg
from tests.kit.server import free_ports
from tests.kit.source_reader import Reader
from tests.kit.wait import wait_for

FPS = 30
NS_PER_S = 1_000_000_000


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(session, "OPEN_TIMEOUT_S", 3.0)
    monkeypatch.setattr(session, "READ_TIMEOUT_S", 1.0)
    monkeypatch.setattr(fetch, "TIMEOUT_S", 1.0)
    before = descriptors()
    yield
    wait_for(lambda: not any(thread.name in ("upstream", "capture") for thread in threading.enumerate()))
    subscription._upstreams.clear()
    wait_for(lambda: not descriptors() - before, why=lambda: f"{descriptors() - before} not closed")


class Handler(http.server.BaseHTTPRequestHandler):
    """What a path is answered with, stands in `pages` of the server: bytes, or what writes."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.server.asked.append((self.path, self.headers.get("Authorization") or ""))
        page = self.server.pages.get(self.path.partition("?")[0])
        try:
            if page is None:
                self.send_error(404)
            elif callable(page):
                page(self)
            else:
                kind, data = page
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(data)
        except OSError:
            pass  # the client has gone

    def log_message(self, *_: object) -> None:
        pass


Page = tuple[str, bytes] | Callable[[http.server.BaseHTTPRequestHandler], None]


class Site(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, pages: dict[str, Page], host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.pages, self.asked = pages, list[tuple[str, str]]()

    def handle_error(self, *_: object) -> None:
        pass

    def url(self, path: str) -> str:
        scheme = "https" if isinstance(self.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server_port}{path}"


@contextmanager
def site(
    pages: dict[str, Page],
    certificate: tuple[bytes, bytes] | None = None,
    folder: Path | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Site]:
    with Site(pages, host) as server:
        if certificate is not None and folder is not None:
            (folder / "site.pem").write_bytes(b"".join(certificate))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "site.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds."""
    return write_clip(tmp_path_factory.mktemp("film") / "film.ts", pictures=60, gop=15)


def playlist(*segments: str) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += [line for segment in segments for line in ("#EXTINF:2.0,", segment)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()


HLS = "application/vnd.apple.mpegurl"


# ------------------------------------------------------------ what readers get


def test_hls_at_the_pace_of_life_bit_for_bit(film: Path) -> None:
    pages: dict[str, Page] = {
        "/live.m3u8": (HLS, playlist("one.ts", "two.ts")),
        "/one.ts": ("video/mp2t", film.read_bytes()),
        "/two.ts": ("video/mp2t", film.read_bytes()),
    }
    with site(pages) as server, Reader(NetLive(url=server.url("/live.m3u8"))) as reader:
        began_s = time.monotonic()
        units = reader.units(45)
        assert 1.0 < time.monotonic() - began_s < 5
        assert [bytes(unit.data) for unit in units] == units_of(film)[:45]
        times = [unit.capture_ns for unit in units]
        assert all(0 < later - earlier < NS_PER_S for earlier, later in pairwise(times))
        assert reader.feed.description is not None
        assert reader.feed.description.width == 160


def test_a_file_by_http_in_its_own_rhythm_and_its_end(film: Path) -> None:
    pages: dict[str, Page] = {"/film.ts": ("video/mp2t", film.read_bytes())}
    with site(pages) as server, Reader(NetLive(url=server.url("/film.ts"))) as reader:
        assert [bytes(unit.data) for unit in reader.units(30)] == units_of(film)[:30]
        assert "has ended the stream" in reader.failure()


def test_after_a_damaged_picture_comes_the_next_key_frame(film: Path) -> None:
    units, data = units_of(film), bytearray(film.read_bytes())
    begins = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x00"]  # of PID 0x100, FFmpeg's
    assert len(begins) == len(units)
    data[begins[20] + 1] |= 0x80  # transport_error_indicator (ISO 13818-1 2.4.3.3)
    with (
        site({"/film.ts": ("video/mp2t", bytes(data))}) as server,
        Reader(NetLive(url=server.url("/film.ts"))) as reader,
    ):
        found = [units.index(bytes(unit.data)) for unit in reader.units(25)]
        damaged = found.index(30)
        assert 15 < damaged <= 20
        assert found == [*range(damaged), *range(30, 55 - damaged)]
        assert reader.feed.skipped == 30 - damaged


def mjpeg(film: Path) -> Page:
    with av.open(str(film)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]

    def show(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        for picture in pictures:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            handler.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(1 / FPS)  # the pace of a camera

    return show


def test_mjpeg_is_decoded_and_passes_nowhere(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "m.mkv", codec="mjpeg", pixel_format="yuvj420p", pictures=90, options={"q": "2"})
    with site({"/mjpeg": mjpeg(film)}) as server:
        source = NetLive(url=server.url("/mjpeg"))
        place = Place("ipc1-stream1", "Lobby", 0, lambda: None)
        pictures = open_pictures(source, place, VideoSpec(width=160, height=96, fps=30), time.monotonic_ns())
        seen: set[int] = set()

        def look() -> bool:
            picture = pictures.picture(0, time.monotonic_ns())
            if picture is not None:
                seen.add(number_of(picture))
            return len(seen) > 10

        wait_for(look, 15)
        pictures.close()
        with Reader(source) as reader:
            assert "is mjpeg, not H.264 or H.265; give the stream `video` settings" in reader.failure()


def test_pictures_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_PIXELS", 160 * 96 - 1)
    film = write_clip(tmp_path / "m.mkv", codec="mjpeg", pixel_format="yuvj420p", pictures=60, options={"q": "2"})
    with site({"/mjpeg": mjpeg(film)}) as server, Reader(NetLive(url=server.url("/mjpeg"))) as reader:
        assert "has pictures of 160x96, over the limit of 15359 pixels" in reader.failure()


def test_rtmp_of_an_ffmpeg_that_serves(film: Path) -> None:
    (port,) = free_ports(1)
    url = f"rtmp://127.0.0.1:{port}/live/key"
    with ffmpeg(film, "-f", "flv", "-listen", "1", url):
        wait_for(lambda: listens(port), 15)
        with Reader(NetLive(url=url)) as reader:
            sent = {without_delimiter(unit) for unit in units_of(film)}
            units = reader.units(40)
            assert {without_delimiter(bytes(unit.data)) for unit in units} <= sent
            assert units[0].key_frame


def without_delimiter(unit: bytes) -> bytes:
    """FLV has none."""
    return unit.replace(b"\0\0\0\1\x09\xf0", b"").replace(b"\0\0\0\1", b"\0\0\1")


def listens(port: int) -> bool:
    """Without connecting: this server takes one client."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def test_mpeg_ts_in_udp(film: Path) -> None:
    (port,) = free_ports(1)
    sender = ffmpeg(film, "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316")
    with sender, Reader(NetLive(url=f"udp://127.0.0.1:{port}")) as reader:
        sent = set(units_of(film))
        assert all(bytes(unit.data) in sent for unit in reader.units(40))


@pytest.mark.parametrize("scheme", ["rtmp", "udp"])
def test_a_sender_that_goes_on_with_sound_alone(scheme: str, film: Path, tmp_path: Path) -> None:
    """Which is no sign of life."""
    both = tmp_path / "both.ts"
    tracks = "-i", str(film), "-f", "lavfi", "-i", "sine=duration=30", "-c:v", "copy", "-c:a", "aac"
    subprocess.run(["ffmpeg", "-v", "error", *tracks, str(both)], check=True)
    (port,) = free_ports(1)
    url = f"{scheme}://127.0.0.1:{port}" + ("/live" if scheme == "rtmp" else "")
    output = ("-f", "flv", "-listen", "1", url) if scheme == "rtmp" else ("-f", "mpegts", f"{url}?pkt_size=1316")
    with ffmpeg(both, "-max_interleave_delta", "500000", *output):  # else 10 s for a picture
        if scheme == "rtmp":
            wait_for(lambda: listens(port), 15)
        with Reader(NetLive(url=url)) as reader:
            reader.units(20)
            assert "has sent no picture for 1 s" in reader.failure()


def test_a_sender_that_comes_back_with_another_pid(film: Path) -> None:
    """PyAV gives no packet of a stream that it has not seen at first; the next visit does."""
    (port,) = free_ports(1)
    source = NetLive(url=f"udp://127.0.0.1:{port}")
    output = "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"
    with Reader(source) as reader:
        with ffmpeg(film, *output):
            reader.units(20)
        with ffmpeg(film, "-streamid", "0:300", *output):
            assert "has sent no picture for 1 s" in reader.failure()
            with Reader(source) as again:
                again.units(20)
                again.feed.close()
                wait_for(lambda: not any(thread.name == "upstream" for thread in threading.enumerate()), 0.9)


def test_a_sender_of_no_key_frame(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PICTURE_TIMEOUT_S", 1.5)
    (port,) = free_ports(1)
    sender = ffmpeg(film, "-bsf:v", "noise=drop=key", "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316")
    with sender, Reader(NetLive(url=f"udp://127.0.0.1:{port}")) as reader:
        assert "has sent no key frame with its parameter sets for 1.5 s" in reader.failure()


def test_a_multicast_group_on_the_interface_that_is_named(film: Path) -> None:
    (port,) = free_ports(1)
    sender = ffmpeg(film, "-f", "mpegts", f"udp://239.255.7.3:{port}?pkt_size=1316&localaddr=127.0.0.1&ttl=0")
    with sender, Reader(NetLive(url=f"udp://239.255.7.3:{port}?localaddr=127.0.0.1")) as reader:
        reader.units(20)


@contextmanager
def listening(url: str) -> Iterator[Datagrams]:
    interrupt = Interrupt()
    received = Datagrams(url, interrupt, 1.0)
    yield received
    received.close()
    interrupt.close()


def send(data: bytes, host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.sendto(data, (host, port))


def test_what_udp_has_brought_is_read_in_any_pieces() -> None:
    (port,) = free_ports(1)
    with listening(f"udp://127.0.0.1:{port}") as received:
        for number in range(3):
            send(bytes([number]) * 1000, "127.0.0.1", port)
        pieces = [received.read(600) for _ in range(5)]
        assert [len(piece) for piece in pieces] == [600] * 5
        assert b"".join(pieces) == b"".join(bytes([number]) * 1000 for number in range(3))
        with pytest.raises(SourceError, match="has been sent nothing for 1 s"):
            received.read(1)


@pytest.mark.parametrize(
    ("host", "own"),
    [("239.255.7.4", "239.255.7.4"), ("127.0.0.1", "127.0.0.2")],
    ids=["a group", "an address of this host"],
)
def test_nothing_else_that_is_sent_to_the_port_is_heard(host: str, own: str) -> None:
    (port,) = free_ports(1)
    interface = "127.0.0.1" if host != "127.0.0.1" else own
    with listening(f"udp://{host}:{port}?localaddr={interface}") as received:
        send(b"stray", "127.0.0.1", port)
        send(b"meant", own, port)
        assert received.read(100) == b"meant"


def test_closing_does_not_wait_for_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "READ_TIMEOUT_S", 3600.0)
    monkeypatch.setattr(session, "OPEN_TIMEOUT_S", 3600.0)
    waits, wait = threading.Event(), Datagrams._wait

    def wait_as_told(received: Datagrams) -> None:
        waits.set()
        wait(received)

    monkeypatch.setattr(Datagrams, "_wait", wait_as_told)
    (port,) = free_ports(1)
    reader = Reader(NetLive(url=f"udp://127.0.0.1:{port}"))
    assert waits.wait(10)
    reader.feed.close()
    wait_for(lambda: not any(thread.name == "upstream" for thread in threading.enumerate()))


# ------------------------------------------------------------ whom it believes


def test_certificates_also_of_servers_that_a_play_list_names(film: Path, tmp_path: Path) -> None:
    ours, other = Authority(), Authority("Other")
    (tmp_path / "ca.pem").write_bytes(ours.root)
    alternative = [x509.IPAddress(ip_address("127.0.0.1"))]
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    segment: Page = ("video/mp2t", film.read_bytes())
    with (
        site({}, ours.issue("a", alternative), tmp_path / "good") as good,
        site({"/seg.ts": segment}, other.issue("b", alternative), tmp_path / "bad") as bad,
    ):
        good.pages |= {
            "/seg.ts": segment,
            "/own.m3u8": (HLS, playlist("seg.ts")),
            "/led.m3u8": (HLS, playlist(bad.url("/seg.ts"))),
        }
        trusted = str(tmp_path / "ca.pem")
        with Reader(NetLive(url=good.url("/own.m3u8"), ca_file=trusted)) as reader:
            reader.units(5)
        with Reader(NetLive(url=good.url("/own.m3u8"))) as reader:
            assert "a certificate that is not accepted" in reader.failure()
        with Reader(NetLive(url=good.url("/led.m3u8"), ca_file=trusted)) as reader:
            assert "a certificate that is not accepted" in reader.failure()
        assert bad.asked == []


@pytest.mark.parametrize(
    ("trusted", "name", "verify", "said"),
    [
        (True, "127.0.0.1", True, b"\x03"),  # C0 of the RTMP handshake: the version
        (False, "127.0.0.1", True, b""),
        (True, "127.0.0.2", True, b""),
        (False, "127.0.0.2", False, b"\x03"),
    ],
)
def test_rtmps_says_nothing_to_a_stranger(trusted: bool, name: str, verify: bool, said: bytes, tmp_path: Path) -> None:
    """FFmpeg's own TLS, which verifies when it is told to, names too."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes((authority if trusted else Authority("Other")).root)
    (tmp_path / "own.pem").write_bytes(b"".join(authority.issue("a", [x509.IPAddress(ip_address(name))])))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")
    heard: list[bytes] = []

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(5)
            try:
                with context.wrap_socket(sock, server_side=True) as secured:
                    heard.append(secured.recv(1))
            except OSError:
                heard.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"rtmps://127.0.0.1:{listener.getsockname()[1]}/live"
        with Reader(NetLive(url=url, ca_file=str(tmp_path / "ca.pem"), verify=verify)) as reader:
            thread.join(10)
            assert heard == [said]
            assert "cannot be read" in reader.failure()


def test_a_login_by_http(film: Path) -> None:
    segment = film.read_bytes()

    def guarded(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") != "Basic " + base64.b64encode(b"u:right").decode():
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.end_headers()
        handler.wfile.write(segment)

    with site({"/film.ts": guarded}) as server:
        url = server.url("/film.ts")
        with Reader(NetLive(url=url, user="u", password="right", basic=True)) as reader:
            reader.units(5)
        with Reader(NetLive(url=url, user="u", password="right")) as reader:
            assert "asks for the password in clear (Basic); use TLS" in reader.failure()
        with Reader(NetLive(url=url, user="u", password="wrong", basic=True)) as reader:
            assert "refuses the user or the password" in reader.failure()
        with Reader(NetLive(url=url)) as reader:
            assert "asks for a user and password" in reader.failure()


def asks_for_a_login(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(401)
    handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
    handler.end_headers()


def test_a_wrong_password_is_not_tried_again_for_a_minute() -> None:
    with site({"/x": asks_for_a_login}) as server:
        for _ in range(3):
            with Reader(NetLive(url=server.url("/x"), user="u", password="wrong", basic=True)) as reader:
                assert "refuses the user or the password" in reader.failure()
        assert len(server.asked) == 2  # without it, and with it


@pytest.mark.parametrize("elsewhere", ["another host", "another port"])
def test_only_the_first_server_gets_the_password(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_is_public", lambda _: True)
    with site({"/x": asks_for_a_login}, host="0.0.0.0") as server, site({"/x": asks_for_a_login}) as other:
        target = other.url("/x") if elsewhere == "another port" else server.url("/x").replace("127.0.0.1", "127.0.0.2")
        server.pages["/led"] = redirect(target)
        with Reader(NetLive(url=server.url("/led"), user="u", password="secret", basic=True)) as reader:
            assert "asks for a user and password" in reader.failure()
        assert ("/x", "") in server.asked + other.asked
        assert {login for path, login in server.asked + other.asked if path == "/x"} == {""}


# ------------------------------------------------------------ where it may not be led


@pytest.fixture
def secret(tmp_path: Path, film: Path) -> Path:
    path = tmp_path / "secret.ts"
    path.write_bytes(film.read_bytes())
    return path


@pytest.mark.parametrize(
    "segment",
    [
        "file://{secret}",
        "{secret}",
        "concat:{secret}",
        "subfile,,start,0,end,0,,:{secret}",
        "crypto:{secret}",
        "data:video/mp2t;base64,AAAA",
        "tcp://127.0.0.1:{port}/",
        "http://127.0.0.9:{port}/seg.ts",
        "http://localhost:{port}/seg.ts",
        "http://169.254.169.254/latest",
        "gopher://127.0.0.1/",
    ],
)
def test_a_play_list_leads_nowhere_else(segment: str, secret: Path) -> None:
    with Site({"/seg.ts": ("video/mp2t", secret.read_bytes())}, "0.0.0.0") as inner:
        threading.Thread(target=inner.serve_forever, args=(0.05,), daemon=True).start()
        text = segment.format(secret=secret, port=inner.server_port)
        with site({"/live.m3u8": (HLS, playlist(text))}) as server:
            with Reader(NetLive(url=server.url("/live.m3u8"))) as reader:
                assert reader.failure().startswith(("a resource", "http://", "tcp"))
            assert inner.asked == []
        inner.shutdown()


def test_an_encrypted_play_list_gets_no_key(film: Path) -> None:
    """FFmpeg's `crypto:` would be another protocol inside."""
    listing = playlist("seg.ts").replace(b"#EXTINF", b'#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXTINF')
    pages: dict[str, Page] = {"/live.m3u8": (HLS, listing), "/seg.ts": ("video/mp2t", film.read_bytes())}
    pages["/key"] = ("application/octet-stream", bytes(16))
    with site(pages) as server, Reader(NetLive(url=server.url("/live.m3u8"))) as reader:
        assert reader.failure()


def redirect(target: str) -> Page:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/again", "redirects more than 3 times"),
        ("http://127.0.0.9/x", "another server leads to"),
        ("http://169.254.169.254/latest/meta-data", "another server leads to"),
        ("file:///etc/passwd", "neither http:// nor https://"),
        ("http://127.0.0.1:0x50/", "neither http:// nor https://"),
    ],
)
def test_redirects(target: str, reason: str) -> None:
    with site({"/again": redirect(target)}) as server, Reader(NetLive(url=server.url("/again"))) as reader:
        assert reason in reader.failure()


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("224.0.1.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
        ("ff0e::1", False),
        ("fec0::1", False),
        ("::10.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::10.0.0.1", False),
        ("2002:a00:1::", False),
        ("2001:0:a00:1::1", False),
        ("2a00:1450:4001:80b::200e", True),
    ],
)
def test_private_addresses(host: str, public: bool) -> None:
    assert fetch._is_public(host) is public


def places(*hosts: str, port: int = 1) -> link.Places:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]


def test_a_name_with_one_private_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, Page] = {"/led": redirect("http://both.example.org/x")}
    with site(pages) as server:
        found = {"127.0.0.1": places("127.0.0.1", port=server.server_port)}
        both = places("93.184.215.14", "127.0.0.1")
        monkeypatch.setattr(fetch, "look_up", lambda address: found.get(address.host, both))
        with Reader(NetLive(url=server.url("/led"))) as reader:
            assert "another server leads to" in reader.failure()


def test_a_name_is_looked_up_once(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer might be another one than was looked at."""
    monkeypatch.setattr(link, "look_up", lambda _: [])
    pages: dict[str, Page] = {"/film.ts": ("video/mp2t", film.read_bytes())}
    with site(pages) as server, Reader(NetLive(url=server.url("/film.ts"))) as reader:
        reader.units(5)


@pytest.mark.parametrize("url", ["http://h/" + 4096 * "x", "http:///x", "http://h/a b", "http://h/\x01", "http://h/ü"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(SourceError, match="a resource has an address that is none"):
        fetch.Address.parse(url)


def test_a_redirect_out_of_tls(tmp_path: Path) -> None:
    pair = Authority().issue("a", [x509.IPAddress(ip_address("127.0.0.1"))])
    secure = site({"/x": redirect("http://127.0.0.1/x")}, pair, tmp_path)
    with secure as server, Reader(NetLive(url=server.url("/x"), verify=False)) as reader:
        assert "out of TLS; that is not followed" in reader.failure()


# ------------------------------------------------------------ servers that are none


def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.rfile.read(1)  # till the client goes
    handler.close_connection = True


def drips(begin: bytes) -> Page:
    """A byte at a time, each long before the time-out."""

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begin)
        for _ in range(1000):
            handler.wfile.write(b"0")
            time.sleep(0.05)  # the pace of the server

    return drip


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(("video/mp2t", b""), "cannot be read", id="nothing"),
        pytest.param(("video/mp2t", bytes(1_000_000)), "cannot be read", id="zeros"),
        pytest.param((HLS, b"#EXTM3U\n" + b"x" * 100_000), "cannot be read", id="a play list of one line"),
        pytest.param((HLS, b"no list"), "cannot be read", id="no play list"),
        pytest.param(("text/html", b"<html>login</html>"), "cannot be read", id="a page"),
        pytest.param(silent, "does not answer within the time given", id="silence"),
        pytest.param(drips(b"HTTP/1.0 200 OK\r\nX: "), "does not answer within", id="headers that drip"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "does not answer", id="a chunk that drips"
        ),
    ],
)
def test_it_harms_nothing(page: Page, reason: str) -> None:
    with site({"/x": page}) as server, Reader(NetLive(url=server.url("/x"))) as reader:
        began_s = time.monotonic()
        assert reason in reader.failure()
        assert time.monotonic() - began_s < 10


def test_nobody_there() -> None:
    (port,) = free_ports(1)
    for scheme in ("http", "https", "rtmp", "rtmps"):
        with Reader(NetLive(url=f"{scheme}://127.0.0.1:{port}/key-secret")) as reader:
            failure = reader.failure()
            assert failure.startswith(f"{scheme}://127.0.0.1:{port} ")
            assert "key-secret" not in failure
    with Reader(NetLive(url=f"udp://127.0.0.1:{port}")) as reader:
        assert "has been sent nothing for 1 s" in reader.failure()
    with Reader(NetLive(url=f"udp://192.0.2.1:{port}")) as reader:
        assert "cannot be listened on: Cannot assign requested address" in reader.failure()
    with Reader(NetLive(url=f"srt://127.0.0.1:{port}")) as reader:
        assert "this build of PyAV has no SRT" in reader.failure()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_closing_does_not_wait(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        reader = Reader(NetLive(url=f"{scheme}://127.0.0.1:{deaf.getsockname()[1]}/x"))
        sock, _ = deaf.accept()
        with sock:
            assert sock.recv(1)
            began_s = time.monotonic()
            reader.feed.close()
            assert time.monotonic() - began_s < 0.5
            wait_for(lambda: not any(thread.name == "upstream" for thread in threading.enumerate()))
