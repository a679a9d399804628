"""Who owns a descriptor when: engines that cannot start, that have stopped, that nobody runs, and copies elsewhere."""

import ctypes
import os
import re
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from camfleet.core.net.fanout import Closed, FanOut, Received
from camfleet.core.ring.stream import MediaStream

from tests.kit.access_units import key_access_unit
from tests.kit.descriptors import descriptors, limit_of_open_files
from tests.kit.engine import Rig, tcp_pair


def watched() -> int:
    """Descriptors that the only engine's epoll instance watches, its own eventfd not counted."""
    counts = []
    for entry in Path("/proc/self/fd").iterdir():
        if os.path.lexists(entry) and str(entry.readlink()) == "anon_inode:[eventpoll]":
            lines = Path("/proc/self/fdinfo", entry.name).read_text().splitlines()
            targets = [int(line.split()[1]) for line in lines if line.startswith("tfd:")]
            counts.append(len(targets) - 1)
    assert len(counts) == 1, "other tests have left engines"
    return counts[0]


@pytest.mark.parametrize("free", range(3))
def test_without_descriptors_no_engine_and_nothing_left(free: int) -> None:
    """It needs three: epoll and two eventfds."""
    before = descriptors()
    free_numbers = [number for number in range(1024) if not os.path.lexists(f"/proc/self/fd/{number}")]
    with limit_of_open_files(free_numbers[free]), pytest.raises(OSError, match="limit of open files"):
        FanOut()
    assert descriptors() == before


def test_after_the_end_of_the_engine_a_descriptor_stays_the_callers() -> None:
    rig = Rig()
    rig.engine.stop()
    rig.thread.join(5)
    server, client = tcp_pair()
    with server, client:
        with pytest.raises(ValueError, match="stopped"):
            rig.engine.adopt(server.fileno())
        server.sendall(b"x")
        assert client.recv(1) == b"x"
    rig.close()


def test_an_engine_that_never_ran_closes_what_it_was_given() -> None:
    before = descriptors()
    engine = FanOut()
    server, client = tcp_pair()
    engine.adopt(server.detach())
    del engine
    assert client.recv(1) == b""
    client.close()
    assert descriptors() == before


def test_a_connection_that_nobody_took_back_is_closed_with_the_engine() -> None:
    before = descriptors()
    rig = Rig()
    client, sock = rig.connect()
    rig.engine.release(client)
    rig.until(lambda: list(rig.engine.readers()) == [])
    rig.engine.stop()
    rig.thread.join(5)
    del rig.thread, rig.engine, rig.stream
    assert sock.recv(1) == b""
    sock.close()
    assert descriptors() == before


def test_a_closed_connection_is_not_watched_even_if_somebody_else_holds_it(rig: Rig) -> None:
    """The supervisor keeps its copy until it has heard Adopted (decision 10)."""
    server, client = tcp_pair()
    rig.sockets.append(client)
    with server:
        rig.engine.adopt(os.dup(server.fileno()))
        client.sendall(b"$")
        rig.until_received(1)
        assert watched() == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        rig.event(Closed)
        assert watched() == 0


def test_a_stream_outlives_the_engine_that_listened() -> None:
    """Its eventfd's number may be a client's socket by then."""
    stream = MediaStream(ntp_offset_ns=0, cname=b"x")
    engine = FanOut()
    engine.add_stream(stream)
    before = descriptors()
    del engine
    closed = {int(entry.split()[0]) for entry in before - descriptors()}
    pairs: list[tuple[socket.socket, socket.socket]] = []
    while not closed <= {sock.fileno() for pair in pairs for sock in pair}:
        pairs.append(socket.socketpair())
    stream.push(key_access_unit(0), 0, time.monotonic_ns())
    for left, right in pairs:
        left.setblocking(False)
        right.setblocking(False)
        for sock in (left, right):
            with pytest.raises(BlockingIOError):
                sock.recv(8)
    for left, right in pairs:
        left.close()
        right.close()


def test_nothing_of_what_clients_say_stays_behind_in_freed_memory(rig: Rig) -> None:
    """It holds their credentials. Memory that is asked for next is what was freed last, as it was left."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    _, sock = rig.connect()
    secret = os.urandom(16)
    text = secret * 50
    sock.sendall(text)
    heard = rig.event(Received)
    assert isinstance(heard, Received)
    assert heard.data == text
    found = [(libc.malloc(size), size) for size in range(len(text), len(text) + 256, 16)]
    left = [secret in ctypes.string_at(memory, size) for memory, size in found]
    for memory, _ in found:
        libc.free(memory)
    assert not any(left)


def test_unread_ciphertext_without_a_session_is_a_mistake(rig: Rig) -> None:
    server, client = tcp_pair()
    with server, client:
        with pytest.raises(ValueError, match="unread"):
            rig.engine.adopt(server.fileno(), b"", b"OPTIONS")
        server.sendall(b"x")
        assert client.recv(1) == b"x"


def eventfd_counts() -> int:
    """Of all of this process (proc(5)): how often somebody has been woken who has not looked since."""
    information = "".join(path.read_text() for path in Path("/proc/self/fdinfo").iterdir() if path.exists())
    return sum(int(count, 16) for count in re.findall(r"eventfd-count: *(\w+)", information))


def test_the_commands_of_a_turn_wake_the_engine_once_at_its_end() -> None:
    """Its thread is late: it runs when all has been said."""
    engine, before = FanOut(), eventfd_counts()
    thread = threading.Thread(target=engine.run, daemon=True)
    server, client = tcp_pair()
    with client:
        with engine:
            with engine:
                reader = engine.adopt(server.detach())
            engine.send(reader, b"one ")
            engine.send(reader, b"turn")
            assert eventfd_counts() == before
        assert eventfd_counts() == before + 1
        thread.start()
        engine.close(reader, b", and after it")
        with client.makefile("rb") as text:
            assert text.read() == b"one turn, and after it"
    engine.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_slot_is_used_again(rig: Rig) -> None:
    """The lower bits of an id (table.pxd): the lowest free one, whoever left it, and never the same id."""
    clients = [rig.connect() for _ in range(4)]
    before = [client for client, _ in clients]
    assert [client & 0xFFFF for client in before] == [0, 1, 2, 3]
    for slot in (2, 1):
        rig.engine.close(before[slot])
        clients[slot][1].close()
    rig.until(lambda: len(list(rig.engine.readers())) == 2)
    after = [rig.connect()[0] for _ in range(3)]
    assert [client & 0xFFFF for client in after] == [1, 2, 4]
    assert not set(before) & set(after)


def test_clients_come_while_the_engine_stops() -> None:
    """Each is either refused, its descriptor untouched, or closed by the engine."""
    for _ in range(20):
        rig = Rig()
        pairs = [tcp_pair() for _ in range(20)]
        refused = 0
        stopper = threading.Timer(0.0005, rig.engine.stop)
        stopper.start()
        for server, _ in pairs:
            descriptor = server.detach()
            try:
                rig.engine.adopt(descriptor)
            except ValueError:
                refused += 1
                os.close(descriptor)
        stopper.join()
        rig.thread.join(5)
        closed = [event for event in rig.engine.events() if isinstance(event, Closed)]
        assert len(closed) + refused == len(pairs)
        for _, client in pairs:
            assert client.recv(1) == b""
            client.close()
        rig.close()
