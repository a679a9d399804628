"""Readers come and go, in every way that a reader has, and nothing of them is left: descriptors, memory, live objects.

CAMFLEET_CHURN_S=1800 is the promised length (`make soak-churn`).
"""

import os
import random
import threading
import time
from pathlib import Path
from typing import NamedTuple

from camfleet.bench.macro.memory import private_bytes

from tests.kit.server import CAMERA, Server
from tests.kit.wait import wait_for

SECONDS = float(os.environ.get("CAMFLEET_CHURN_S", "45"))
SEED = 3
CROWD = 12  # at a time
GROWTH_MAX = 1_000_000  # private bytes of a process, from the first rest to the last
BLOCKS_MAX = 100  # 2 s and a group of pictures: what the window keeps


class Rest(NamedTuple):
    """What the two processes hold while nobody is connected."""

    descriptors: tuple[int, int]
    private_bytes: tuple[int, int]
    clients: int
    items: int
    blocks: int


def descriptors(pid: int) -> int:
    """Without the memory file for sendfile: one a stream, made when eight plain readers are there first."""
    links = [entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return len([link for link in links if not str(link).startswith("/memfd:camfleet frames")])


def rest(server: Server) -> Rest:
    def is_at_rest() -> bool:
        status = server.status()
        (camera,) = status["cameras"]
        idle = all(stream["state"] == "idle" for stream in camera["streams"])
        return bool(idle and not camera["connections"] and not status["supervisor"]["connections"])

    wait_for(is_at_rest, 30)
    pids = server.pid, server.worker_pid()
    live = server.camera()["live_objects"]
    return Rest(
        (descriptors(pids[0]), descriptors(pids[1])),
        (private_bytes(pids[0]), private_bytes(pids[1])),
        live["clients"],
        live["items"],
        live["blocks"],
    )


def one_reader(server: Server, draw: random.Random) -> None:
    """One life, the end of which is any of those that happen to readers."""
    with server.connect(tls=draw.random() < 0.7) as client:
        end = draw.choice(("before PLAY", "teardown", "cut", "cut while it does not read"))
        if end == "before PLAY":
            client.request("OPTIONS")
            return
        client.play()
        wanted = draw.randrange(5, 60)
        for frame in client.frames(3):
            wanted -= frame.channel == 0
            if wanted <= 0:
                break
        if end == "teardown":
            assert client.request("TEARDOWN").status == 200
        elif end == "cut while it does not read":
            threading.Event().wait(draw.random())


def churn(server: Server, seconds: float, seed: int) -> int:
    """How many readers there were; the first of their errors is raised."""
    deadline = time.monotonic() + seconds
    errors: list[Exception] = []
    lives = [0] * CROWD

    def run(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        while time.monotonic() < deadline and not errors:
            try:
                one_reader(server, draw)
            except Exception as error:
                errors.append(error)
            lives[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(lives)


def test_nothing_grows_while_readers_come_and_go(folder: Path) -> None:
    with Server(folder, (), tail=CAMERA.format(id="ipc1") + "linger_s = 0.5") as server:  # at rest soon
        assert churn(server, SECONDS / 3, SEED) > CROWD  # buffers and caches find their size
        before = rest(server)
        for round_number in range(2):
            assert churn(server, SECONDS / 3, SEED + round_number + 1) > CROWD
            after = rest(server)
        assert after.descriptors == before.descriptors
        assert (after.clients, after.items) == (0, 0)
        assert after.blocks <= BLOCKS_MAX
        growth = [now - then for now, then in zip(after.private_bytes, before.private_bytes, strict=True)]
        assert max(growth) < GROWTH_MAX, f"supervisor, worker: {growth} bytes"
