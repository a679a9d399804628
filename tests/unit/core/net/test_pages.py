"""Frame blocks as pages for sendfile: from so many plain readers on, the same bytes, and no memory for what is gone."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from camfleet.core.net import huge_pages
from camfleet.core.net.fanout import Closed, Ready

from tests.kit import sandbox
from tests.kit.descriptors import descriptors
from tests.kit.engine import Rig

PAGE = os.sysconf("SC_PAGESIZE")
REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n"

pytestmark = pytest.mark.skipif(huge_pages.possible(), reason="this kernel gives huge pages to memory files")


@pytest.fixture
def pages_from() -> int:
    return 2


def page_file() -> Path | None:
    """The engine's memory file."""
    found = [Path("/proc/self/fd", one.split()[0]) for one in descriptors() if "/memfd:camfleet frames" in one]
    assert len(found) <= 1
    return found[0] if found else None


def kept_bytes() -> int:
    file = page_file()
    return 0 if file is None else file.stat().st_blocks * 512


def until_left_by_pages(rig: Rig, size: int) -> None:
    rig.until(lambda: left_by_pages(rig) >= size)


def left_by_pages(rig: Rig) -> int:
    """Bytes so far, as the kernel counts for the engine's thread: what sendfile reads, and 8 bytes for each wake-up. It
    does not count what send and recv do."""
    counted = Path(f"/proc/self/task/{rig.thread.native_id}/io").read_text()
    return int(counted.split()[1])


def play(rig: Rig) -> socket.socket:
    client, sock = rig.connect()
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    assert receive(sock, len(REPLY)) == REPLY
    return sock


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, f"closed after {len(data)} of {size} bytes"
        data += more
    return data


def test_frames_of_few_readers_are_in_no_file(rig: Rig) -> None:
    rig.push(key=True)
    sock = play(rig)
    before = rig.stream.counters().bytes
    receive(sock, before)
    rig.push(count=5)
    receive(sock, rig.stream.counters().bytes - before)
    assert page_file() is None


def test_by_pages_and_by_copies_the_same_bytes(rig: Rig) -> None:
    """One reader has other channel numbers, for which every block is copied."""
    rig.push(key=True, size=70_000)
    first, second = play(rig), play(rig)
    start = rig.stream.counters().bytes
    assert receive(first, start) == receive(second, start)

    client, other = rig.connect()
    rig.engine.prepare(client, rig.stream, 4, 5)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    receive(other, len(REPLY) + start)
    for size in (1, PAGE - 1, PAGE, 3 * PAGE + 17, 300_000):
        before, by_pages = rig.stream.counters().bytes, left_by_pages(rig)
        rig.push(size=max(size, 200))
        size = rig.stream.counters().bytes - before
        data = receive(first, size)
        assert receive(second, size) == data
        if size < 100_000:  # the end of a large one may find no room
            until_left_by_pages(rig, by_pages + 2 * size)
        at = 0
        copied = bytearray(receive(other, size))
        while at < size:
            copied[at + 1] -= 4
            at += 4 + int.from_bytes(copied[at + 2 : at + 4])
        assert copied == data
    assert kept_bytes() >= 300_000


def test_what_left_the_window_takes_no_memory(make_rig: Callable[..., Rig]) -> None:
    """The engine keeps what is older than the newest key frame for the lag that it allows."""
    rig = make_rig(max_lag_s=0.05)
    rig.push(key=True)
    sockets = [play(rig), play(rig)]

    for sock in sockets:
        sock.setblocking(False)

    def push_a_group() -> None:
        rig.push(key=True, size=100_000)
        rig.push(count=3, size=10_000)
        for sock in sockets:
            with contextlib.suppress(BlockingIOError):
                while sock.recv(1 << 20):
                    pass

    for _ in range(20):
        push_a_group()
    rig.until(lambda: kept_bytes() >= 130_000)
    filled = time.monotonic()
    rig.until(lambda: time.monotonic() > filled + 0.15)
    push_a_group()
    rig.until(lambda: 130_000 <= kept_bytes() < 300_000)


def test_memory_that_the_kernel_does_not_take_back(make_rig: Callable[..., Rig]) -> None:
    """The file is given up, with all that is in it, and readers go on."""
    rig = make_rig(max_lag_s=0.05, before=lambda: sandbox.refuse(sandbox.FALLOCATE))
    rig.push(key=True)
    sockets = [play(rig), play(rig)]

    for sock in sockets:
        sock.setblocking(False)
    received = [b"", b""]

    def push_and_receive() -> None:
        rig.push(key=True, size=20_000)
        rig.until(all_is_received)

    def all_is_received() -> bool:
        for at, sock in enumerate(sockets):
            with contextlib.suppress(BlockingIOError):
                received[at] += sock.recv(1 << 20)
        sent = {reader.bytes_sent - len(REPLY) for reader in rig.engine.readers()}
        frames_sent = {reader.frames_sent for reader in rig.engine.readers()}
        return sent == {len(data) for data in received} and frames_sent == {rig.number}

    push_and_receive()
    assert kept_bytes() >= 20_000

    def given_up() -> bool:
        push_and_receive()
        return page_file() is None

    rig.until(given_up)
    by_pages = left_by_pages(rig)
    push_and_receive()
    assert page_file() is None
    assert left_by_pages(rig) - by_pages < 20_000
    assert received[0] == received[1]


@pytest.mark.parametrize(
    ("setting", "used"),
    [
        ("always within_size advise [never] deny force", True),
        ("always within_size [advise] never deny force", True),
        ("always within_size advise never [deny] force", True),
        ("[always] within_size advise never deny force", False),
        ("always [within_size] advise never deny force", False),
        ("always within_size advise never deny [force]", False),
        (None, True),
    ],
)
def test_no_file_that_may_get_huge_pages(
    make_rig: Callable[..., Rig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, used: bool
) -> None:
    monkeypatch.setattr(huge_pages, "SETTING", tmp_path / "shmem_enabled")
    if setting is not None:
        huge_pages.SETTING.write_text(setting + "\n")
    rig = make_rig()
    rig.push(key=True)
    sockets = [play(rig), play(rig)]
    rig.push()
    for sock in sockets:
        receive(sock, rig.stream.counters().bytes)
    assert (page_file() is not None) == used


def test_a_full_socket_goes_on_where_it_was(rig: Rig) -> None:
    """What a reader takes later comes from the block, not from its pages: they may be gone by then."""
    rig.push(key=True, size=2_000_000)
    client, slow = rig.connect(receive_buffer=4096)
    sock = play(rig)
    receive(sock, rig.stream.counters().bytes)
    rig.engine.prepare(client, rig.stream, 0, 1)
    rig.event(Ready)
    rig.engine.play(client, REPLY)
    receive(slow, len(REPLY))
    before = rig.stream.counters().bytes
    rig.push(size=8_000_000)
    size = rig.stream.counters().bytes - before
    expected = receive(sock, size)
    receive(slow, before)
    assert receive(slow, size) == expected


def test_a_dead_peer_is_noticed(rig: Rig) -> None:
    rig.push(key=True)
    sockets = [play(rig), play(rig)]
    sockets[0].close()

    def gone() -> bool:
        rig.push()
        return len(list(rig.engine.readers())) == 1

    rig.until(gone)
    closed = rig.event(Closed)
    assert isinstance(closed, Closed)
    assert closed.reason == "connection lost"
