"""camfleet as a client: of another camfleet, by RTSP and RTSPS with a private authority, and of gst-rtsp-server by TCP
and UDP. What its readers get is, bit for bit, what the upstream sends."""

import contextlib
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from camfleet.workers.codecs import BLA_W_LP

from tests.kit.clips import flat_picture, noise_picture, units_of, write_clip
from tests.kit.players import START_TIMEOUT_S, FFmpeg
from tests.kit.recorder import REFERENCES, Recorder
from tests.kit.rtsp_client import RTSPClient, Watch
from tests.kit.server import PASSWORD, USER, Server
from tests.kit.wait import wait_for
from tests.reference import h265, rtp

ROOT = Path(__file__).parents[2]
GST_SERVER = ROOT / "bench/macro/gst_server.py"
CAMERA = """
[[cameras]]
id = "{id}"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "{kind}", {source} }}
linger_s = 1
"""
SECONDS, FPS, SIZE = 2, 25, (320, 180)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key frames of many packets, and B pictures. gst-rtsp-server begins no film again: its is long enough."""
    folder = tmp_path_factory.mktemp("films")
    return {
        name: write_clip(
            folder / f"{name}.mp4",
            codec=encoder,
            pictures=FPS * seconds,
            gop=10,
            b_frames=2,
            fps=FPS,
            size=SIZE,
            paint=noise_picture if seconds == SECONDS else flat_picture,
            options={"preset": "ultrafast"},
        )
        for name, encoder, seconds in (("h264", "libx264", 2), ("h265", "libx265", 2), ("gst", "libx264", 12))
    }


@pytest.fixture(scope="module")
def upstream(films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cameras = [
        CAMERA.format(id=codec, kind="filelive", source=f'path = "{path}"')
        for codec, path in films.items()
        if codec != "gst"
    ]
    # On all addresses: 127.0.0.2 reaches it too, and stands in no certificate.
    with Server(tmp_path_factory.mktemp("up"), (), host="0.0.0.0", tail="".join(cameras)) as running:
        yield running


@pytest.fixture(scope="module")
def gst_port(films: dict[str, Path]) -> Iterator[int]:
    # A camera for each transport: once a TCP client leaves a shared one, gst-rtsp-server 1.22 sends nothing by UDP.
    command = ["/usr/bin/python3", str(GST_SERVER), str(films["gst"]), "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], START_TIMEOUT_S)[0], "gst-rtsp-server does not start"
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def puller(upstream: Server, gst_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pull")
    (folder / "password").write_text(PASSWORD + "\n")
    authority = upstream.state_dir / "certs" / "ssl.ca"
    fingerprint = upstream.status()["certificates"][0]["fingerprint"]
    login = f'user = "{USER}", password_file = "password"'

    def of(codec: str, *, tls: bool, host: str = "127.0.0.1") -> str:
        scheme, port = ("rtsps", upstream.rtsps_port) if tls else ("rtsp", upstream.rtsp_port)
        return f'url = "{scheme}://{host}:{port}/{codec}-stream1/filelive"'

    with_password = of("h264", tls=False).replace("://", f"://{USER}:{PASSWORD}@")
    sources = {
        "plain": with_password,
        "secure": f'{of("h265", tls=True)}, {login}, ca_file = "{authority}"',
        "pinned": f'{of("h264", tls=True, host="127.0.0.2")}, {login}, fingerprint = "{fingerprint}"',
        "stranger": f"{of('h264', tls=True)}, {login}",
        "othername": f'{of("h264", tls=True, host="127.0.0.2")}, {login}, ca_file = "{authority}"',
        "forged": f'{of("h264", tls=True)}, {login}, fingerprint = "{"ab" * 32}"',
        "wrongpw": f'{of("h264", tls=False)}, user = "{USER}", password = "wrong-31c7"',
        "gsttcp": f'url = "rtsp://127.0.0.1:{gst_port}/0"',
        "gstudp": f'url = "rtsp://127.0.0.1:{gst_port}/1", transport = "udp"',
        "myself": f'url = "rtsp://{USER}:{PASSWORD}@127.0.0.1:{{own}}/myself-stream1/rtsplive"',
    }
    cameras = "".join(
        CAMERA.format(id=name, kind="rtsplive", source=text) + "standby = false\n" for name, text in sources.items()
    )
    # One that is encoded anew, beside its pass-through: a decoder and a second stream over the same connection.
    cameras += CAMERA.format(id="dies", kind="rtsplive", source=with_password)
    cameras += CAMERA.format(id="twice", kind="rtsplive", source=with_password)
    cameras += f"""
[[cameras.streams]]
id = "stream2"
source = {{ kind = "rtsplive", {with_password} }}
video = {{ width = 160, height = 90, fps = {FPS}, gop = 10, encoder = "libx264" }}
linger_s = 1
"""
    server = Server(folder, ())
    server.tail = cameras.replace("{own}", str(server.rtsp_port))
    server.write_config(())
    with server:
        yield server


@pytest.mark.parametrize(
    ("camera", "film", "codec"),
    [
        ("plain", "h264", "h264"),
        ("pinned", "h264", "h264"),
        ("secure", "h265", "h265"),
        ("gsttcp", "gst", "h264"),
        ("gstudp", "gst", "h264"),
    ],
)
def test_readers_get_what_the_upstream_sends(
    camera: str, film: str, codec: str, puller: Server, films: dict[str, Path]
) -> None:
    """Two turns of the film."""
    wanted = 2 * FPS * SECONDS
    with Recorder.connect(puller.url(camera, source="rtsplive")) as client:
        client.play()
        client.record(wanted)
        assert client.video.holes == 0
        (stream,) = puller.camera(camera)["streams"]
    assert (stream["state"], stream["codec"], stream["encoder"]) == ("running", codec, "pass-through")
    assert (stream["width"], stream["height"]) == SIZE
    got = [tuple(unit.units) for unit in client.units(codec)]
    assert len(got) == wanted
    is_sent = REFERENCES[codec].is_sent
    sent = {tuple(nal for nal in rtp.nal_units(unit) if is_sent(nal)) for unit in units_of(films[film])}
    # An H.265 picture that is the first after a cut says so: the film's own first one, and that of each reader.
    changed = [n for n, units in enumerate(got) if units not in sent]
    assert changed == [] or (codec == "h265" and all(h265.fields(got[n][-1])[0] == BLA_W_LP for n in changed))


def test_a_player_decodes_what_was_pulled_without_one_error(puller: Server) -> None:
    frames = 2 * SECONDS * FPS
    played = FFmpeg(puller.url("secure", source="rtsplive"), frames).wait(2 * SECONDS + START_TIMEOUT_S)
    assert (played.errors, played.ended_well) == ("", True)
    assert played.frames >= frames


def test_one_connection_for_a_stream_passed_through_and_one_encoded_anew(puller: Server, upstream: Server) -> None:
    with contextlib.ExitStack() as stack:
        for stream in ("stream1", "stream2"):
            client = stack.enter_context(RTSPClient.connect(puller.url("twice", stream=stream, source="rtsplive")))
            client.play()
            assert next(client.frames(10), None) is not None
        assert len(upstream.camera("h264")["readers"]) == 1
        first, second = puller.camera("twice")["streams"]
        assert (first["width"], second["width"]) == (320, 160)
        assert (first["encoder"], second["encoder"]) == ("pass-through", "libx264")
    # Nobody watches, so nobody is pulled from.
    wait_for(lambda: not upstream.camera("h264")["readers"], why=lambda: str(upstream.camera("h264")["readers"]))


@pytest.mark.parametrize(
    ("camera", "reason"),
    [
        ("stranger", "shows a certificate that is not accepted: "),
        ("othername", "IP address mismatch"),
        ("forged", "shows another certificate than the one of `fingerprint`"),
        ("wrongpw", "refuses the user or the password"),
        ("myself", "answers DESCRIBE with 503"),
    ],
)
def test_what_is_not_pulled_and_why(camera: str, reason: str, puller: Server) -> None:
    with RTSPClient.connect(puller.url(camera, source="rtsplive")) as client:
        client.request("GET_PARAMETER")  # logs in
        client.send_request("DESCRIBE")
        assert client.read_response(15).status == 503

    def state() -> str:
        (stream,) = puller.camera(camera)["streams"]
        return str(stream["state"])

    # Who pulls himself is answered a moment before his own question is.
    wait_for(lambda: state().startswith("failed: rtsp") and reason in state(), 15, state)


def test_no_password_is_in_log_status_or_command_line(puller: Server) -> None:
    status = puller.status()
    told = puller.log_text().partition("Users: ")[0] + puller.log_text().partition("Ctrl-C ends it.")[2] + str(status)
    for process in [puller.process.pid if puller.process else 0, *puller.workers()]:
        told += Path(f"/proc/{process}/cmdline").read_text() + Path(f"/proc/{process}/environ").read_text()
    assert "rtsp://127.0.0.1" in told
    for secret in (PASSWORD, "wrong-31c7"):
        assert secret not in told


def test_an_upstream_that_dies_and_comes_back_costs_its_readers_nothing_but_a_slate(
    puller: Server, upstream: Server
) -> None:
    """The same session, the same RTP stream."""

    def state() -> str:
        return str(puller.camera("dies")["streams"][0]["state"])

    with Watch(RTSPClient.connect(puller.url("dies", source="rtsplive"))) as reader:
        reader.wait_for_frames(10)
        upstream.stop()
        wait_for(lambda: state().startswith("standby: rtsp://"))
        reader.wait_for_frames(3)
        upstream.start()
        wait_for(lambda: state() == "running")
        reader.wait_for_frames(20)
        assert reader.video.holes == 0
