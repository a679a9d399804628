"""FFmpeg and GStreamer publish, by RTSP and RTSPS: what readers get, who is refused, what a publisher's end costs."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.supervisor.arbiter.bus import ask_to_replace
from camfleet.workers.codecs import BLA_W_LP

from tests.kit.clips import noise_picture, units_of, write_clip
from tests.kit.players import START_TIMEOUT_S, FFmpeg
from tests.kit.publishers import Publisher, ffmpeg, gstreamer
from tests.kit.publishing import DESCRIPTION, RECORD_TCP
from tests.kit.recorder import Recorder
from tests.kit.rtsp_client import Response, RTSPClient, Watch
from tests.kit.server import PASSWORD, USER, Server
from tests.kit.wait import wait_for
from tests.reference import h265, rtp

FPS, GOP, PICTURES = 25, 10, 200
ENCODER, SECRET = "encoder", "not-a-secret-77b1"
CAMERA = """
[[cameras]]
id = "{id}"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "publish", user = "{user}"{password} }}
linger_s = 1
"""
RTSP = ("-f", "rtsp")
TCP = (*RTSP, "-rtsp_transport", "tcp")
CAMERAS = ("ffplain", "ffsecure", "gstplain", "gstsecure", "comes", "moves")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {
        name: write_clip(
            folder / f"{name}.mp4",
            codec=encoder,
            pictures=PICTURES,
            gop=GOP,
            fps=FPS,
            size=size,
            paint=noise_picture,
            options={"preset": "ultrafast"},
        )
        for name, encoder, size in (
            ("h264", "libx264", (160, 96)),
            ("h265", "libx265", (160, 96)),
            ("large", "libx264", (320, 192)),
        )
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("publish")
    (folder / "encoder.password").write_text(SECRET + "\n")
    own = ', password_file = "encoder.password"'
    tail = "".join(CAMERA.format(id=camera, user=ENCODER, password=own) for camera in CAMERAS)
    tail += CAMERA.format(id="both", user=USER, password="")
    with Server(folder, (), tail=tail) as running:
        yield running


def url_of(server: Server, camera: str, *, tls: bool = False, user: str = ENCODER, password: str = SECRET) -> str:
    return server.url(camera, tls=tls, source="publish").replace(f"{USER}:{PASSWORD}@", f"{user}:{password}@")


def announce(client: RTSPClient) -> Response:
    return client.request("ANNOUNCE", headers={"Content-Type": "application/sdp"}, body=DESCRIPTION)


def state_of(server: Server, camera: str) -> str:
    return str(server.camera(camera)["streams"][0]["state"])


def wait_until_live(server: Server, camera: str, publisher: Publisher, timeout_s: float = START_TIMEOUT_S) -> None:
    def why() -> str:
        return f"{state_of(server, camera)}; the publisher: {publisher.said()}"

    wait_for(lambda: state_of(server, camera) == "running", timeout_s, why)


def slices(units: list[bytes], codec: str) -> tuple[bytes, ...]:
    """Of an access unit: of what stands before them, clients have their own ideas."""
    if codec == "h264":
        return tuple(unit for unit in units if unit[0] & 31 in (1, 5))
    return tuple(unit for unit in units if h265.fields(unit)[0] < 32)


@pytest.mark.parametrize(
    ("camera", "client", "codec", "tls"),
    [
        ("ffplain", "ffmpeg", "h264", False),
        ("ffsecure", "ffmpeg", "h265", True),
        ("gstplain", "gstreamer", "h265", False),
        ("gstsecure", "gstreamer", "h264", True),
    ],
)
def test_readers_get_what_is_published(
    camera: str, client: str, codec: str, tls: bool, server: Server, films: dict[str, Path]
) -> None:
    """FFmpeg without TLS asks for UDP first, and brings sound, before the picture."""
    url, film, wanted = url_of(server, camera, tls=tls), films[codec], 2 * FPS
    with contextlib.ExitStack() as stack:
        if client == "gstreamer":
            publisher = gstreamer(film, url, codec)
        elif tls:
            publisher = ffmpeg(film, *TCP, url)
        else:
            publisher = ffmpeg(film, *RTSP, url, sound=True)
        stack.enter_context(publisher)
        wait_until_live(server, camera, publisher)
        reader = stack.enter_context(Recorder.connect(server.url(camera, source="publish")))
        reader.play()
        reader.record(wanted)
        assert reader.video.holes == 0
        (stream,) = server.camera(camera)["streams"]
    assert (stream["codec"], stream["encoder"], stream["width"]) == (codec, "pass-through", 160)
    got = [unit.units for unit in reader.units(codec)]
    assert len(got) == wanted
    sent = {slices(rtp.nal_units(unit), codec) for unit in units_of(film)}
    changed = [n for n, units in enumerate(got) if slices(units, codec) not in sent]
    # The first H.265 picture after a cut says that it is one.
    assert changed == [] or (codec == "h265" and all(h265.fields(got[n][-1])[0] == BLA_W_LP for n in changed))


def test_a_player_decodes_what_is_published_without_one_error(server: Server, films: dict[str, Path]) -> None:
    url = url_of(server, "ffsecure", tls=True)
    with ffmpeg(films["h264"], *TCP, url) as publisher:
        wait_for(lambda: server.camera("ffsecure")["streams"][0]["codec"] == "h264", START_TIMEOUT_S)
        wait_until_live(server, "ffsecure", publisher)
        played = FFmpeg(server.url("ffsecure", source="publish"), 2 * FPS).wait(START_TIMEOUT_S)
    assert (played.errors, played.frames >= 2 * FPS, played.ended_well) == ("", True, True)


@pytest.mark.parametrize(
    ("camera", "user", "password", "says"),
    [
        ("ffplain", ENCODER, "wrong", "401 Unauthorized"),
        ("ffplain", "nobody", SECRET, "401 Unauthorized"),
        ("ffplain", USER, PASSWORD, "403 Forbidden"),  # may watch
        ("both", ENCODER, SECRET, "401 Unauthorized"),  # another camera's
    ],
)
@pytest.mark.parametrize("client", ["ffmpeg", "gstreamer"])
def test_nobody_else_publishes(
    client: str, camera: str, user: str, password: str, says: str, server: Server, films: dict[str, Path]
) -> None:
    url = url_of(server, camera, user=user, password=password)
    make = gstreamer(films["h264"], url, "h264") if client == "gstreamer" else ffmpeg(films["h264"], *RTSP, url)
    with make as publisher:
        said = publisher.refused()
    assert (says in said) if client == "ffmpeg" else ("ERROR" in said)
    assert all(reader["state"] != "recording" for reader in server.camera(camera)["readers"])


def test_who_publishes_does_not_watch_unless_he_is_one_of_all_users(server: Server) -> None:
    with RTSPClient.connect(url_of(server, "comes")) as client:
        assert client.request("DESCRIBE").status == 403
    with RTSPClient.connect(server.url("both", source="publish")) as client:
        assert client.request("DESCRIBE").status == 200  # a slate
        options = client.request("OPTIONS").header("public")
        assert "ANNOUNCE" in options
        assert announce(client).status == 200


def test_a_publisher_that_dies_and_comes_back_costs_readers_nothing_but_a_slate(
    server: Server, films: dict[str, Path]
) -> None:
    """The same session and RTP stream, though the picture comes back in another size."""
    url = url_of(server, "comes", tls=True)
    with Watch(RTSPClient.connect(server.url("comes", source="publish"))) as reader:
        reader.wait_for_frames(3)  # nobody has published yet
        for name in ("h264", "large"):
            with ffmpeg(films[name], *TCP, url) as publisher:
                wait_for(lambda: "recording" in str(server.camera("comes")["readers"]), START_TIMEOUT_S)
                wait_until_live(server, "comes", publisher, 3.0)
                reader.wait_for_frames(FPS)
                if name == "h264":
                    with ffmpeg(films[name], *TCP, url) as second:
                        assert "somebody publishes here already" in second.refused()
                    reader.wait_for_frames(FPS)
                publisher.kill()
                wait_for(lambda: state_of(server, "comes") == "standby: nobody publishes", 3.0)
                reader.wait_for_frames(3)
        assert reader.video.holes == 0
        assert reader.video.largest_gap_ms() < 3000


def test_garbage_harms_neither_the_connection_nor_the_next_publisher(server: Server, films: dict[str, Path]) -> None:
    """Noise in frames of all sizes, with requests among it, in pieces; then silence in the middle of a frame."""
    dice = random.Random(11)
    with RTSPClient.connect(url_of(server, "comes", tls=True)) as client:
        assert announce(client).status == 200
        setup = client.request("SETUP", f"{client.url}/streamid=0", {"Transport": RECORD_TCP})
        assert (setup.status, client.request("RECORD").status) == (200, 200)
        sent, requests = b"", 0
        for _ in range(300):
            payload = dice.randbytes(dice.choice((0, 3, 12, 500, 1400, 65_535)))
            sent += b"$" + bytes([dice.choice((0, 0, 1, 9))]) + len(payload).to_bytes(2) + payload
            if dice.random() < 0.1:
                sent += client.encode_request("GET_PARAMETER")
                requests += 1
        at = 0
        while at < len(sent):
            size = dice.choice((1, 7, 1000, 100_000))
            client.sock.sendall(sent[at : at + size])
            at += size
        assert [client.read_response(20).status for _ in range(requests)] == [200] * requests
        client.sock.sendall(b"$\0\xff\xffhalf")
        with RTSPClient.connect(url_of(server, "comes")) as other:
            assert announce(other).status == 503
            wait_for(lambda: announce(other).status == 200)  # who is silent gives way
        with (
            Watch(RTSPClient.connect(server.url("comes", source="publish"))) as reader,
            ffmpeg(films["h264"], *TCP, url_of(server, "comes")) as publisher,
        ):
            wait_until_live(server, "comes", publisher)
            reader.wait_for_frames(FPS)
            assert reader.video.holes == 0


def test_a_publisher_stays_while_the_worker_is_replaced(server: Server, films: dict[str, Path]) -> None:
    """His pictures come to one worker only, so the next one has not seen any when it takes over."""
    url = url_of(server, "moves", tls=True)
    with ffmpeg(films["h264"], *TCP, url) as publisher:
        wait_until_live(server, "moves", publisher)
        seen = server.url("moves", source="publish")
        with Watch(RTSPClient.connect(seen)) as reader, Watch(RTSPClient.connect(f"{seen}?w=80&h=64")) as of_a_variant:
            for watch in (reader, of_a_variant):
                watch.wait_for_frames(FPS)
            before = server.worker_pid("moves")
            replaced = ask_to_replace(server.run_dir, "moves")
            assert (replaced.problem, replaced.sessions) == ("", 3)
            assert server.worker_pid("moves") != before
            wait_until_live(server, "moves", publisher)
            for watch in (reader, of_a_variant):
                watch.wait_for_frames(FPS)
                assert watch.video.holes == 0
        assert publisher.process.poll() is None
