"""What a worker that passes a film through keeps for itself alone."""

import re
from pathlib import Path

from tests.kit.clips import noise_picture, write_clip
from tests.kit.rtsp_client import RTSPClient, Watch
from tests.kit.server import PASSWORD, USER, Server
from tests.kit.wait import wait_for

CAMERAS = ("ipc1", "ipc2")  # two, so that nothing is private only because nobody else is there
BITRATE = 4_000_000
FRAMES = 60  # a group of pictures, 2 s: 1.1 MB, which the stream window must keep for whoever joins
PRIVATE_DIRTY_MAX = 9_600_000  # 8.5 to 9.0 measured; 6.3 are pages of the interpreter, written to as it runs
VISITS = 3  # each opens the file again
GROWTH_MAX = 1_000_000  # 0.3 to 0.6 measured

CAMERA = """
[[cameras]]
id = "{id}"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "filelive", path = "{film}" }}
linger_s = 0
"""


def private_dirty(pid: int) -> int:
    found = re.search(r"^Private_Dirty: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def test_a_pass_through_camera_is_small_however_often_it_starts(folder: Path) -> None:
    rate = {"preset": "ultrafast", "b": str(BITRATE), "maxrate": str(BITRATE), "bufsize": str(BITRATE // 2)}
    film = write_clip(
        folder / "film.mp4", size=(1920, 1080), pictures=FRAMES, gop=FRAMES, options=rate, paint=noise_picture
    )
    assert film.stat().st_size > 0.8 * BITRATE / 8 * FRAMES / 30
    tail = "".join(CAMERA.format(id=camera, film=film) for camera in CAMERAS)
    with Server(folder, (), tail=tail) as server:

        def is_idle() -> bool:
            return all(camera["streams"][0]["state"] == "idle" for camera in server.status()["cameras"])

        def sizes() -> list[int]:
            return [private_dirty(server.worker_pid(camera)) for camera in CAMERAS]

        def visit(frames: int) -> list[int]:
            """While a reader of each camera has had so many frames."""
            urls = [
                f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{server.rtsp_port}/{camera}-stream1/filelive" for camera in CAMERAS
            ]
            readers = [Watch(RTSPClient.connect(url)) for url in urls]
            for reader in readers:
                reader.wait_for_frames(frames)
            found = sizes()
            for reader in readers:
                reader.stop()
            wait_for(is_idle, 10)
            return found

        playing = visit(2 * FRAMES)
        before = sizes()
        for _ in range(VISITS):
            visit(10)
        after = sizes()
    print("private dirty bytes: playing", playing, "idle", before, "and", after)
    assert max(playing) < PRIVATE_DIRTY_MAX
    assert max(late - early for early, late in zip(before, after, strict=True)) < GROWTH_MAX
