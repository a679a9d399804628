"""Settings that change under readers: all play on without a hole, and see the new picture within two seconds."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.clips import write_clip
from tests.kit.picture_watch import Picture, PictureWatch, now_ns
from tests.kit.rtsp_client import RTSPClient, Watch
from tests.kit.server import Server
from tests.kit.wait import wait_for

pytestmark = pytest.mark.alone

IN_TIME_S = 2.0
SECOND_STREAM = """
[[cameras.streams]]
id = "stream2"
source = { kind = "testlive" }
video = { width = 160, height = 96, fps = 10, bitrate = "100k", gop = 20 }
"""


class Rig:
    """A server whose configuration is changed by pieces of text; ipc1 is its last camera, and has a second stream."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._text = server.config.read_text()

    def change(self, *pieces: tuple[str, str]) -> int:
        """In the part of ipc1 and behind it; returns when the signal was sent. Waits until it is in force."""
        for old, new in pieces:
            others, mark, ours = self._text.rpartition('id = "ipc1"')
            assert old in ours, ours
            self._text = others + mark + ours.replace(old, new, 1)
        return self.reload(self._text)

    def reload(self, text: str) -> int:
        self._text = text
        before = self.server.log_text().count("event=reloaded")
        self.server.config.write_text(text)
        sent_ns = now_ns()
        os.kill(self.server.pid, signal.SIGHUP)
        wait_for(lambda: self.server.log_text().count("event=reloaded") > before, 5.0, "not reloaded")
        wait_for(lambda: self.server.camera()["settings"] == "in force", 5.0, "the settings are not in force")
        return sent_ns

    def stream(self) -> dict[str, Any]:
        """What the status says of ipc1's first."""
        stream: dict[str, Any] = self.server.camera()["streams"][0]
        return stream


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Server(tmp_path_factory.mktemp("s"), ("ipc2", "ipc1"), tail=SECOND_STREAM) as server:
        yield Rig(server)


def flat(picture: Picture) -> bool:
    return picture.flat


def any_picture(_: Picture) -> bool:
    return True


def test_readers_play_on_whatever_is_changed(rig: Rig, tmp_path: Path) -> None:
    server = rig.server
    clip = write_clip(tmp_path / "clip.mp4", size=(96, 64))
    pids = {camera: server.worker_pid(camera) for camera in ("ipc1", "ipc2")}
    testlive, filelive = '{ kind = "testlive" }', f'{{ kind = "filelive", path = "{clip}" }}'
    video = (
        'video = { codec = "h264", width = 480, height = 270, fps = 10, bitrate = "60k", gop = 50, encoder = "auto" }'
    )
    changes: list[tuple[tuple[str, str], Callable[[Picture], bool]]] = [
        (("width = 320, height = 180", "width = 480, height = 270"), lambda picture: picture.width == 480),
        (("fps = 25", "fps = 10"), lambda picture: picture.step == 9000),
        (('bitrate = "300k"', 'bitrate = "60k"'), lambda picture: picture.size < 1200),  # 750 on average, 3,750 before
        ((testlive, filelive), flat),
        ((video, "linger_s = 1"), lambda picture: picture.width == 96),
        ((filelive, testlive), lambda picture: not picture.flat and picture.width == 1280),
        (("linger_s = 1", video), lambda picture: picture.width == 480),
        (('name = "Test ipc1"', 'name = "Gate"'), any_picture),
    ]
    with (
        PictureWatch(server.connect("ipc1")) as reader,
        Watch(RTSPClient.connect(server.url("ipc1", tls=False, stream="stream2"))) as beside,
        server.watch("ipc2") as other,
    ):
        reader.wait_for_frames(3)
        for change, wanted in changes:
            began_ns = rig.change(change)
            took_s = reader.wait_for_picture(wanted, began_ns, 5.0)
            assert took_s < IN_TIME_S, f"{change} took {took_s:.1f} s"
        for watch in (reader, beside, other):
            watch.wait_for_frames(5)
            assert watch.video.holes == 0
        for watch in (beside, other):
            assert watch.video.largest_gap_ms() < 500
        assert rig.stream()["video"]["bitrate_bps"] == 60_000
        assert {camera: server.worker_pid(camera) for camera in pids} == pids
        for kind in ("testlive", "filelive"):  # the recorder that was set up meanwhile
            url = server.url("ipc1").replace("testlive", kind)
            with RTSPClient.connect(url) as client:
                assert b"s=Gate\r\n" in client.request("DESCRIBE").body


def test_another_codec_ends_the_sessions_of_its_stream_in_an_orderly_way(rig: Rig, tmp_path: Path) -> None:
    server, film = rig.server, write_clip(tmp_path / "film.mp4", codec="libx265")
    url = server.url("ipc1", stream="stream2")
    with server.watch("ipc1") as reader, Watch(RTSPClient.connect(url)) as gone:
        gone.wait_for_frames(2)
        rig.reload(server.config.read_text().replace(SECOND_STREAM, of_film(film)))
        gone.wait_for_end()
        assert not gone.client.truncated
        assert gone.video.holes == 0
        with RTSPClient.connect(url) as client:
            assert b" H265/90000\r\n" in client.request("DESCRIBE").body
        reader.wait_for_frames(3)
        assert reader.video.holes == 0
        assert reader.video.largest_gap_ms() < 500
        rig.reload(server.config.read_text().replace(of_film(film), SECOND_STREAM))


def of_film(film: Path) -> str:
    """The second stream with another source."""
    head, source, _ = SECOND_STREAM.partition("source = ")
    return f'{head}{source}{{ kind = "filelive", path = "{film}" }}\n'


def test_limits_count_for_those_who_come(rig: Rig) -> None:
    server = rig.server
    unlimited = server.config.read_text()
    with server.watch("ipc1") as reader, server.watch("ipc2") as other:
        rig.reload(unlimited + "[limits]\nsessions_per_camera = 1\nsession_timeout_s = 7\n")
        with server.connect("ipc1") as client:
            describe = client.request("DESCRIBE")
            transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
            assert client.request("SETUP", client.track_url(describe), transport).status == 453
        rig.change(("sessions_per_camera = 1", "sessions_per_camera = 2"))
        with server.connect("ipc1") as client:
            describe = client.request("DESCRIBE")
            assert "timeout=7" in client.request("SETUP", client.track_url(describe), transport).header("session")
        rig.reload(unlimited)
        for watch in (reader, other):
            watch.wait_for_frames(3)
            assert watch.video.holes == 0


def test_cameras_and_streams_come_and_go_and_who_is_beside_them_notices_nothing(rig: Rig) -> None:
    server = rig.server
    with (
        server.watch("ipc1") as reader,
        Watch(server.connect("ipc2")) as other,
        Watch(RTSPClient.connect(server.url("ipc1", stream="stream2"))) as gone,
    ):
        gone.wait_for_frames(2)
        whole = server.config.read_text()
        rig.reload(whole.replace(SECOND_STREAM, ""))
        gone.wait_for_end()
        assert not gone.client.truncated
        with server.connect("ipc1") as client:
            assert client.request("DESCRIBE", client.url.replace("stream1", "stream2")).status == 404
        third = whole.partition("[[cameras]]")[2].partition("[[cameras]]")[0].replace("ipc2", "ipc3")
        rig.reload(whole + f"[[cameras]]{third}")
        wait_for(lambda: server.camera("ipc3").get("state") == "running", 5.0, "ipc3 does not run")
        with Watch(RTSPClient.connect(server.url("ipc1", stream="stream2"))) as back, server.watch("ipc3") as disabled:
            back.wait_for_frames(2)
            rig.reload(whole + f"[[cameras]]\nenabled = false{third}")
            disabled.wait_for_end()
            assert not disabled.client.truncated
            assert server.camera("ipc3")["state"] == "disabled"
            with server.connect("ipc3") as client:
                assert client.request("DESCRIBE").status == 404
            rig.reload(whole)
            assert server.camera("ipc3") == {}
            for watch in (reader, other, back):
                watch.wait_for_frames(5)
                assert watch.video.holes == 0
                assert watch.video.largest_gap_ms() < 500
