"""A crowd with slow readers in it: the others do not notice, the slow ones see whole pictures and cost little.

CAMFLEET_SLOW_READERS=200 is the promised size: 20 readers take 10 kB/s and 5 nothing at all (`make soak-slow`).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kit.clips import decode, noise_picture, write_clip
from tests.kit.interleaved import RTPPacket, frames, is_key_frame
from tests.kit.server import Server
from tests.kit.slow_reader import SlowReader
from tests.kit.wait import wait_for
from tests.reference import rtp

pytestmark = pytest.mark.alone

READERS = int(os.environ.get("CAMFLEET_SLOW_READERS", "40"))
THROTTLED, SILENT = READERS // 10, READERS // 40
QUICK = READERS - THROTTLED - SILENT
RATE = 10_000  # bytes a second of a throttled one
STREAM_RATE = 50 * RATE
DRAINING_RATE = STREAM_RATE // 5  # after the measurements: a full socket has room again in seconds, and skips come
STALL_TIMEOUT_S = 10.0
FILLING_S = 5.0  # at most, until the buffers of a silent one are full and its time begins
SECONDS = 5  # of one measurement
COST_MAX = 2_000_000
MARGIN_MS = 10
ATTEMPTS = 3  # others on this machine can only make it look worse

CAMERA = """
[limits]
reader_stall_timeout_s = {stall_timeout_s}
[[cameras]]
id = "ipc1"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "filelive", path = "clip.mp4" }}
"""


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """One pass-through camera of 4 Mb/s, a key frame each second."""
    options = {"b": "4M", "maxrate": "4M", "bufsize": "2M", "preset": "ultrafast", "x264-params": "nal-hrd=cbr"}
    write_clip(folder / "clip.mp4", pictures=90, gop=30, size=(640, 360), options=options, paint=noise_picture)
    with Server(folder, (), tail=CAMERA.format(stall_timeout_s=STALL_TIMEOUT_S)) as running:
        yield running


def load(server: Server) -> dict[str, Any]:
    """What the quick readers see."""
    command = [sys.executable, "-m", "camfleet.supervisor", "bench", server.url().replace("testlive", "filelive")]
    options = ["--json", "--readers", str(QUICK), "--ramp", "1", "--seconds", str(SECONDS)]
    ended = subprocess.run([*command, *options], stdout=subprocess.PIPE, timeout=60, check=True)
    return dict(json.loads(ended.stdout))


def private_bytes(pid: int) -> int:
    smaps = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB$", smaps, re.MULTILINE)) * 1024


def socket_bytes(server: Server) -> dict[str, int]:
    """The kernel's memory of each of the server's sockets, by the peer: buffers and what belongs to them."""
    asked = ["ss", "-tmnHO", "state", "established", f"( sport = :{server.rtsps_port} )"]
    found = {}
    for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines():
        if memory := re.search(r"(\S+) +skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+)", line):
            found[memory[1]] = sum(map(int, memory.groups()[1:]))
    return found


def readers(server: Server) -> dict[str, dict[str, Any]]:
    return {reader["peer"]: reader for reader in server.camera()["readers"]}


def is_full(reader: dict[str, Any]) -> bool:
    """It has been given less than half of what the stream has had since."""
    return bool(reader["age_s"] > 2 and reader["bytes_sent"] < reader["age_s"] * STREAM_RATE / 2)


def check_pictures(packets: Sequence[Sequence[RTPPacket]]) -> None:
    """Runs of packets between skips: each begins with a key frame, is whole, and decodes without an error."""
    units = []
    for run in packets[:-1]:
        assert run[-1].marker, "a frame was cut"
    for run in packets:
        whole = max((at for at, packet in enumerate(run, 1) if packet.marker), default=0)  # the last is under way
        received = list(run[:whole])
        if received:
            assert is_key_frame(frames(received)[0]), "does not begin with a key frame"
        access_units = rtp.depacketize([rtp.Packet(each.channel, each.marker, 96, *each[2:]) for each in received])
        units += [rtp.annex_b(unit.units) for unit in access_units]
    assert len(decode(units)) == len(units)


def test_slow_readers_harm_nobody_and_see_whole_pictures(server: Server) -> None:
    url = server.url().replace("testlive", "filelive")
    quick: dict[str, Any] = {}
    with ExitStack() as stack:
        alone = load(server)
        before = private_bytes(server.worker_pid())
        throttled = [stack.enter_context(SlowReader(url, RATE)) for _ in range(THROTTLED)]
        silent = [stack.enter_context(SlowReader(url, 0)) for _ in range(SILENT)]
        slow = [*throttled, *silent]

        # What the slow ones cost, all their sockets being full.
        wait_for(lambda: all(is_full(readers(server)[each.peer]) for each in slow), STALL_TIMEOUT_S)
        user = max(0, private_bytes(server.worker_pid()) - before) // len(slow)
        kernel = socket_bytes(server)
        cost = {each.peer: user + kernel[each.peer] for each in slow}
        assert min(cost.values()) > 0, cost
        assert max(cost.values()) < COST_MAX, cost

        for _ in range(ATTEMPTS):
            quick = load(server)
            for figures in (alone, quick):
                assert figures["readers"]["ok"] == QUICK, figures["readers"]
                assert not any(figures["gaps"].values()), figures["gaps"]
            if quick["delay_ms"]["p99"] - alone["delay_ms"]["p99"] < MARGIN_MS:
                break
        else:
            pytest.fail(f"p99 of the others: {alone['delay_ms']} without, {quick['delay_ms']} with slow readers")

        wait_for(lambda: all(each.ended_s for each in silent), 2 * STALL_TIMEOUT_S)
        for each in silent:
            assert each.ended_s
            assert STALL_TIMEOUT_S <= each.ended_s - each.began_s <= STALL_TIMEOUT_S + FILLING_S
        assert not readers(server).keys() & {each.peer for each in silent}

        for each in throttled:
            each.rate = DRAINING_RATE
        wait_for(lambda: all(readers(server)[each.peer]["frames_skipped"] for each in throttled), 40)
        for each in throttled:
            each.catch_up()
        wait_for(lambda: all(sum(map(len, each.runs()[1:])) > 500 for each in throttled), 20)
        for each in throttled:
            assert not each.ended_s
            check_pictures(each.runs())
