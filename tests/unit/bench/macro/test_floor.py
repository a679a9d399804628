"""The yardstick must be true: every byte that it sends, and what happens to a reader that does not read."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from camfleet.bench.load import main as load
from camfleet.bench.macro.floor import Floor
from camfleet.bench.macro.floor_server import SSRC, accept, answer, expand_label
from camfleet.core.rtp.packetizer import Packetizer

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.tls_client import read_context, write_pair
from tests.kit.wait import wait_for
from tests.reference import rtp, tls_record

FPS = 100
SECRET = b"s" * 32
SUITE = next(suite for suite in tls_record.SUITES if suite.number == 0x1301)


def film(key_size: int = 36_000) -> list[bytes]:
    """Three frames; the first fills more than two TLS records."""
    packetizer = Packetizer(ssrc=SSRC)
    units = key_access_unit(0, key_size), access_unit(1, 5_000), access_unit(2, 1)
    return [packetizer.packetize(unit, 0) for unit in units]


@contextmanager
def running(floor: Floor) -> Iterator[None]:
    thread = threading.Thread(target=floor.run)
    thread.start()
    try:
        yield
    finally:
        floor.stop()
        thread.join()


def receive(sock: socket.socket, size: int) -> bytes:
    sock.settimeout(10)
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def opened(stream: bytes, sequence: int) -> tuple[bytes, list[int]]:
    """Plaintext and record sizes."""
    direction = tls_record.Direction(SUITE, SECRET, sequence=sequence)
    content, sizes = b"", []
    while stream:
        size = 5 + int.from_bytes(stream[3:5])
        kind, plaintext = direction.open(stream[:size])
        assert kind == tls_record.APPLICATION_DATA
        content += plaintext
        sizes.append(len(plaintext))
        stream = stream[size:]
    return content, sizes


def add(floor: Floor, sock: socket.socket, tls: bool) -> None:
    if tls:
        floor.add(sock.fileno(), expand_label(SECRET, b"key", 16), expand_label(SECRET, b"iv", 12), 7)
    else:
        floor.add(sock.fileno())


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_the_film_goes_round_and_the_numbers_go_on(tls: bool) -> None:
    frames = film()
    records = [-(-len(frame) // 16_384) for frame in frames]
    size = 2 * sum(map(len, frames)) + tls * 2 * sum(records) * (5 + 1 + 16)
    ours, theirs = socket.socketpair()
    floor = Floor(frames, FPS, tls)
    with ours, theirs, running(floor):
        add(floor, ours, tls)
        stream = receive(theirs, size)
        floor.remove(ours.fileno())
    if tls:
        stream, sizes = opened(stream, 7)
        assert sizes[: records[0]] == [16_384, 16_384, len(frames[0]) - 32_768]
        assert len(sizes) == 2 * sum(records)
    packets = rtp.packets(stream)
    originals = rtp.packets(b"".join(frames))
    assert [packet.payload for packet in packets] == [packet.payload for packet in originals] * 2
    assert [packet.marker for packet in packets] == [packet.marker for packet in originals] * 2
    assert {packet.ssrc for packet in packets} == {SSRC}
    assert [packet.sequence for packet in packets] == list(range(len(packets)))
    times = list(dict.fromkeys(packet.timestamp for packet in packets))
    assert [time - times[0] for time in times] == [number * 90_000 // FPS for number in range(6)]
    assert floor.late == 0


def test_it_keeps_time() -> None:
    ours, theirs = socket.socketpair()
    floor = Floor([b"$\x00\x00\x0c" + bytes(12)], FPS, False)
    with ours, theirs, running(floor):
        before = floor.reference()
        add(floor, ours, False)
        begin = time.monotonic()
        receive(theirs, 50 * 16)
        elapsed = time.monotonic() - begin
        after = floor.reference()
    assert 0.48 < elapsed < 2
    assert after.unix_ns - before.unix_ns == pytest.approx(
        (after.rtp_timestamp - before.rtp_timestamp) / 90e-6, abs=5e6
    )
    assert abs(after.unix_ns - time.time_ns()) < 2e9


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_a_full_socket_is_late_and_gets_whole_frames_only(tls: bool) -> None:
    """The first frame is larger than what the socket takes, so its rest must follow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    floor = Floor(film(500_000), FPS, tls)
    with ours, theirs, running(floor):
        add(floor, ours, tls)
        wait_for(lambda: floor.late >= 5, 10, "nothing is late")
        stream = receive(theirs, 1_200_000)
        floor.remove(ours.fileno())
    content = opened(whole(stream, 5, 3), 7)[0] if tls else stream
    packets = rtp.packets(whole(content, 4, 2))
    steps = [(after.sequence - packet.sequence, packet.marker) for packet, after in itertools.pairwise(packets)]
    assert all(step == 1 or marker for step, marker in steps)
    assert any(step > 1 for step, _ in steps)
    assert len({packet.timestamp for packet in packets}) >= 3


def whole(stream: bytes, header: int, size_at: int) -> bytes:
    """Without what is cut off at the end."""
    end = at = 0
    while at <= len(stream):
        end = at
        at += header + int.from_bytes(stream[at + size_at : at + size_at + 2])
        if at == end + header:
            break
    return stream[:end]


def test_keys_are_of_the_right_kind() -> None:
    for tls, key, iv in ((True, b"", b""), (True, bytes(32), bytes(12)), (False, bytes(16), bytes(12))):
        with pytest.raises(ValueError, match="bytes of key"):
            Floor(film(), FPS, tls).add(0, key, iv)


def test_expand_label_agrees_with_the_reference() -> None:
    for label, size in ((b"key", 16), (b"iv", 12)):
        assert expand_label(SECRET, label, size) == tls_record.expand_label(SECRET, label, b"", size, "sha256")


def test_answers() -> None:
    described = answer("DESCRIBE rtsp://h/floor RTSP/1.0\r\nCSeq: 7").decode()
    head, _, body = described.partition("\r\n\r\n")
    assert "CSeq: 7" in head
    assert f"Content-Length: {len(body)}" in head
    assert "interleaved=0-1" in answer("SETUP rtsp://h/floor/trackID=0 RTSP/1.0\r\nCSeq: 8").decode()


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_the_load_tool_plays_from_it(tls: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = read_context(*write_pair(tmp_path)) if tls else None
    floor = Floor(film(), 30, tls)
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener, running(floor):
        listener.setblocking(False)
        task = loop.create_task(accept(listener, context, floor))
        thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
        thread.start()
        try:
            url = f"rtsp{'s' * tls}://127.0.0.1:{listener.getsockname()[1]}/floor"
            status = load([url, "--readers", "5", "--ramp", "0", "--seconds", "0.5", "--json"])
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            loop.close()
    result = json.loads(capsys.readouterr().out)
    assert (status, result["readers"]["ok"]) == (0, 5)
    assert set(result["gaps"].values()) == {0}
    assert result["frames"] > 50
    assert 0 <= result["delay_ms"]["p50"] < 1000
