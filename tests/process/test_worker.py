"""A real worker process: its life, its connections, what it survives. The supervisor is played by the test."""

import array
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from camfleet.core.net import fdpass
from camfleet.core.wire import CameraSpec, FileLive, HandoffRecord, StreamSpec
from camfleet.core.wire.control import (
    EXIT_BOOT_FAILED,
    EXIT_LOCKED,
    Adopt,
    Adopted,
    Ended,
    HandBack,
    Hello,
    Ping,
    Pong,
    Refused,
    Stats,
    StatsRequest,
    Stop,
    TLSInfo,
    encode,
)
from camfleet.core.wire.forking import MAX_ORDER_SIZE, Fork, Forked
from camfleet.core.wire.forking import decode as decode_order
from camfleet.core.wire.forking import encode as encode_order
from camfleet.core.wire.handoff import HANDOFF_VERSION

from tests.kit.engine import tcp_pair
from tests.kit.interleaved import RTCPPacket, holes
from tests.kit.rtsp import digest, request
from tests.kit.supervisor import FakeSupervisor, connection, readers_of
from tests.kit.worker import CAMERA, PROBE, URL, Player, WorkerProcess, adopted, configure, probe, start, tls_pair

pytestmark = pytest.mark.alone

RTCP_SENDER_REPORT, RTCP_BYE = 200, 203

Starter = Callable[..., WorkerProcess]


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    """Starts workers in `tmp_path` and leaves none behind."""
    workers: list[WorkerProcess] = []

    def start_worker(setup: str = "", pass_fds: Sequence[int] = ()) -> WorkerProcess:
        workers.append(WorkerProcess(tmp_path, setup, pass_fds))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.kill()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with FakeSupervisor(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture
def worker(supervisor: FakeSupervisor, starter: Starter) -> WorkerProcess:
    """Configured and waiting for clients."""
    worker = starter()
    start(supervisor, worker)
    supervisor.send(Ping(id=0))
    supervisor.expect(Pong)
    return worker


def assert_said_goodbye(player: Player) -> None:
    player.read_to_end()
    last = player.elements[-1]
    assert isinstance(last, RTCPPacket)
    assert last.packet_type == RTCP_BYE


# ---------------------------------------------------------------- life


def test_says_hello_with_its_settings_once_it_has_some(
    supervisor: FakeSupervisor, starter: Starter, tmp_path: Path
) -> None:
    worker = starter()
    hello = start(supervisor, worker)
    assert (hello.camera, hello.settings, hello.connections) == ("ipc1", "", [])
    supervisor.send(Ping(id=41))
    assert supervisor.expect(Pong).id == 41
    assert (tmp_path / "ipc1.lock").read_text() == f"{worker.pid}\n"
    supervisor.close()
    with FakeSupervisor(tmp_path) as following:
        hello = following.expect(Hello)
        assert (hello.pid, hello.settings) == (worker.pid, configure().digest())
        assert following.accept() == "ipc1"


def test_a_second_worker_of_the_camera_leaves_at_once(worker: WorkerProcess, starter: Starter) -> None:
    second = starter()
    assert second.wait(30) == EXIT_LOCKED
    assert worker.running()


def test_kill_leaves_no_lock(worker: WorkerProcess, supervisor: FakeSupervisor, starter: Starter) -> None:
    worker.signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    start(supervisor, starter())


@pytest.mark.parametrize("how", ["SIGTERM", "Stop"])
def test_an_orderly_end_says_goodbye_to_the_readers_within_its_deadline(
    how: str, worker: WorkerProcess, supervisor: FakeSupervisor
) -> None:
    worker.signal(signal.SIGINT)  # Ctrl-C is the supervisor's business
    worker.signal(signal.SIGHUP)
    with adopted(supervisor, 1) as playing, adopted(supervisor, 2) as idle:
        playing.play()
        playing.read_packets(3)
        if how == "Stop":
            supervisor.send(Stop(deadline_s=60.0))  # it may not wait for it when everybody has gone
        else:
            worker.signal(signal.SIGTERM)
        assert_said_goodbye(playing)
        idle.read_to_end()
    assert worker.wait(2.0) == 0


def test_a_reader_that_does_not_read_cannot_delay_the_end(worker: WorkerProcess, supervisor: FakeSupervisor) -> None:
    with adopted(supervisor) as deaf:
        deaf.play()
        supervisor.send(Stop(deadline_s=0.3))
        assert worker.wait(3) == 0


def test_an_orphan_ends_by_itself_and_in_order(supervisor: FakeSupervisor, starter: Starter) -> None:
    worker = starter()
    start(supervisor, worker, configure(orphan_timeout_s=1.0))
    with adopted(supervisor) as player:
        player.play()
        supervisor.close()
        assert_said_goodbye(player)
    assert worker.wait() == 0


def test_without_settings_it_ends_as_a_failed_boot(supervisor: FakeSupervisor, starter: Starter) -> None:
    worker = starter(setup="worker.BOOT_TIMEOUT_NS = 1_000_000_000")
    assert supervisor.expect(Hello, timeout_s=30).pid == worker.pid
    assert worker.wait() == EXIT_BOOT_FAILED


def test_settings_that_cannot_be_served_are_a_failed_boot(supervisor: FakeSupervisor, starter: Starter) -> None:
    worker = starter()
    stream = StreamSpec(id="stream1", source=FileLive("/nonexistent.mp4"), join="yesterday")
    start(supervisor, worker, configure(CameraSpec(id="ipc1", name="Lobby", streams=(stream,))))
    assert worker.wait() == EXIT_BOOT_FAILED
    assert "event=boot_failed" in worker.log


# ---------------------------------------------------------------- connections


@pytest.mark.usefixtures("worker")
def test_an_adopted_connection_plays(supervisor: FakeSupervisor) -> None:
    with adopted(supervisor) as player:
        answer = player.play()
        player.read_packets(30)
        first = player.packets[0]
        assert f"seq={first.sequence};rtptime={first.timestamp}" in answer.headers["rtp-info"]
        assert isinstance(player.elements[0], RTCPPacket)
        assert player.elements[0].packet_type == RTCP_SENDER_REPORT
        assert holes(player.packets) == 0
        supervisor.send(StatsRequest(id=5))
        stats = supervisor.expect(Stats)
        (reader,) = readers_of(stats)
        assert (reader.user, reader.state, reader.tls_version) == ("viewer", "playing", "")
        assert stats.streams[0].state == "running"
        assert player.ask("TEARDOWN").status == 200
        assert any(isinstance(e, RTCPPacket) and e.packet_type == RTCP_BYE for e in player.elements)
    assert supervisor.expect(Ended).handoff == 1


def test_an_adopted_tls_connection_plays(worker: WorkerProcess, supervisor: FakeSupervisor) -> None:
    server, client = tcp_pair()
    server_session, client_session = tls_pair()
    with Player(client, client_session) as player:
        who = connection(3, tls=TLSInfo(version="TLSv1.3", suite="TLS_AES_128_GCM_SHA256"))
        with server:
            exported = server_session.export(time.monotonic_ns())
            supervisor.hand_over(who, player.first_request(), server.fileno(), exported)
        player.log_in()
        player.play()
        player.read_packets(30)
        assert holes(player.packets) == 0
        supervisor.send(Stop())
        player.read_to_end()
        assert client_session.alert_received == 0  # close_notify
    assert worker.wait() == 0


@pytest.mark.usefixtures("worker")
def test_a_request_may_be_cut_anywhere_by_the_hand_off(supervisor: FakeSupervisor) -> None:
    """Also before a $, which would begin an interleaved frame between two messages."""
    whole = request("OPTIONS", URL + "?$=$$", cseq=5)
    for handoff, cut in enumerate([*range(0, len(whole) + 1, 7), *(n for n, byte in enumerate(whole) if byte == 0x24)]):
        server, client = tcp_pair()
        with Player(client) as player:
            with server:
                player.send(whole[cut:])  # waits in the socket when the worker takes it
                supervisor.hand_over(connection(handoff), whole[:cut], server.fileno())
            assert player.reply().status == 200, f"cut at {cut}"


@pytest.mark.usefixtures("worker")
def test_a_request_for_another_camera_brings_the_connection_back(supervisor: FakeSupervisor) -> None:
    with adopted(supervisor, 9) as player:
        url = URL.replace("ipc1", "ipc2")
        elsewhere = request("DESCRIBE", url, digest("DESCRIBE", url, player.nonce), cseq=77)
        player.send(elsewhere)
        message = supervisor.expect(HandBack)
        assert message == HandBack(connection=connection(9), received=elsewhere)
        assert supervisor.handoff is not None
        record, descriptor = fdpass.receive(supervisor.handoff)
        assert record == HandoffRecord(HANDOFF_VERSION, 9, b"")
        with socket.socket(fileno=descriptor) as back:
            back.setblocking(True)
            back.sendall(b"RTSP/1.0 404 Not Found\r\nCSeq: 77\r\n\r\n")
            assert player.reply().status == 404
            # The supervisor may give it to the same worker again, under the same id.
            supervisor.hand_over(message.connection, request("OPTIONS", URL, cseq=78), back.fileno())
        assert supervisor.expect(Adopted).handoff == 9
        assert player.reply().status == 200


@pytest.mark.usefixtures("worker")
def test_media_goes_on_while_supervisors_come_and_go(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    with adopted(supervisor, 5) as player:
        player.play()
        player.read_packets(10)
        supervisor.close()
        player.read_packets(30)
        for life in range(2):
            with FakeSupervisor(tmp_path) as following:
                hello = following.expect(Hello)
                assert hello.connections == [connection(5)]
                following.accept()
                following.send(Ping(id=life))
                following.expect(Pong)
                player.read_packets(10)
                with adopted(following, 100 + life) as other:
                    other.play()
        assert holes(player.packets) == 0


BUSY_S = 1.5
BUSY = f"""
import signal, time
def spin(*_):
    until = time.monotonic() + {BUSY_S}
    while time.monotonic() < until:
        pass
signal.signal(signal.SIGUSR2, spin)
"""


def test_a_busy_main_thread_delays_no_frame(supervisor: FakeSupervisor, starter: Starter) -> None:
    worker = starter(setup=BUSY)
    start(supervisor, worker)
    with adopted(supervisor) as player:
        player.play()
        player.read_packets(3)
        supervisor.send(Ping(id=1))
        supervisor.expect(Pong)
        worker.signal(signal.SIGUSR2)
        supervisor.send(Ping(id=2))
        began = last = time.monotonic()
        longest = 0.0
        while last < began + 0.8 * BUSY_S:
            player.read_packets(1)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        supervisor.pump()
        assert not any(isinstance(message, Pong) for message in supervisor.messages)  # it was busy indeed
        assert longest < 0.3 * BUSY_S
        assert holes(player.packets) == 0
        assert supervisor.expect(Pong).id == 2


def test_a_user_that_is_removed_is_sent_away(worker: WorkerProcess, supervisor: FakeSupervisor) -> None:
    with adopted(supervisor) as player:
        player.play()
        supervisor.send(configure(users=[]))
        assert_said_goodbye(player)
    assert worker.running()


# ---------------------------------------------------------------- bad inputs, H 76-78


def test_nonsense_on_both_channels_hurts_nobody(worker: WorkerProcess, supervisor: FakeSupervisor) -> None:
    with adopted(supervisor, 1) as player:
        player.play()
        player.read_packets(3)
        assert supervisor.handoff is not None
        reading, writing = os.pipe()
        record = HandoffRecord(HANDOFF_VERSION, 50, b"")
        for data, count in [
            (record.pack(), 0),
            (record.pack(), 2),
            (record.pack(), 253),
            (b"\xc1", 1),
            (record.pack()[:-1], 1),
            (HandoffRecord(HANDOFF_VERSION, 51, b"not an export").pack(), 1),
            (HandoffRecord(HANDOFF_VERSION, 1, b"").pack(), 1),  # replay of the one that plays
        ]:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * count))] if count else []
            supervisor.handoff.sendmsg([data], rights)
        os.close(writing)
        good = encode(Adopt(connection=connection(51), received=b""))
        for frames in [[b""], [b"\xc1"], [good[:-1]], [good, good], [encode(Hello(version=1, camera="ipc2", pid=1))]]:
            supervisor.send_raw(*frames)
        supervisor.send(Adopt(connection=connection(1), received=b""))  # replay
        supervisor.send(Adopt(connection=connection(51), received=b""))
        assert supervisor.expect(Refused).handoff == 51  # the session that cannot be imported
        assert os.read(reading, 1) == b""  # every copy that reached the worker is closed
        os.close(reading)
        player.read_packets(20)
        assert holes(player.packets) == 0
        assert player.ask("GET_PARAMETER").status == 200
        with adopted(supervisor, 60) as other:
            other.play()
    assert worker.running()


@pytest.mark.usefixtures("worker")
def test_half_a_hand_off_is_given_up(supervisor: FakeSupervisor) -> None:
    server, client = tcp_pair()
    with client:
        assert supervisor.handoff is not None
        with server:
            fdpass.send(supervisor.handoff, HandoffRecord(HANDOFF_VERSION, 70, b""), server.fileno())
        supervisor.send(Adopt(connection=connection(71), received=b""))
        refused = {supervisor.expect(Refused, timeout_s=10).handoff for _ in range(2)}
        assert refused == {70, 71}
        client.settimeout(5)
        assert client.recv(1) == b""


@pytest.mark.usefixtures("worker")
def test_a_supervisor_that_reads_nothing_delays_no_reader(supervisor: FakeSupervisor) -> None:
    """Hand-backs pile up in the socket, then in the queue; the last ones are closed instead."""
    with adopted(supervisor, 1) as player:
        player.play()
        clients = []
        for number in range(300):
            server, client = tcp_pair()
            clients.append(client)
            with server:
                supervisor.hand_over(
                    connection(1000 + number), request("OPTIONS", URL.replace("ipc1", "ipc2")), server.fileno()
                )
        player.read_packets(20)
        assert holes(player.packets) == 0
        assert player.ask("GET_PARAMETER").status == 200
        for client in clients:
            client.close()


# ---------------------------------------------------------------- isolation, cost


def test_connections_of_every_sort_leave_nothing_behind(
    supervisor: FakeSupervisor, starter: Starter, tmp_path: Path
) -> None:
    worker = starter(setup=PROBE)
    start(supervisor, worker)
    for first in range(0, 100, 10):  # makes what is made once
        connections_of_every_sort(supervisor, first)
    before = probe(worker.pid, tmp_path)
    for first in range(1000, 1100, 10):
        connections_of_every_sort(supervisor, first)
    after = probe(worker.pid, tmp_path)
    assert after.descriptors == before.descriptors
    assert after.anonymous_kib < before.anonymous_kib + 512


def connections_of_every_sort(supervisor: FakeSupervisor, first: int) -> None:
    with adopted(supervisor, first) as player:  # is cut while it plays
        player.play()
    with adopted(supervisor, first + 1) as player:  # half closed
        assert player.ask("DESCRIBE").status == 200
        player.sock.shutdown(socket.SHUT_WR)
        player.read_to_end()
    server, client = tcp_pair()
    client.close()
    with server:  # gone before it came, in the middle of a request
        supervisor.hand_over(connection(first + 2), b"OPTI", server.fileno())
    assert supervisor.expect(Adopted).handoff == first + 2
    with adopted(supervisor, first + 3) as player:
        player.send(b"\x00" * 20_000)
        player.read_to_end()
    server, client = tcp_pair()
    with server, client:  # its session cannot be imported
        supervisor.hand_over(connection(first + 4), b"", server.fileno(), b"not an export")
    assert supervisor.expect(Refused).handoff == first + 4
    assert {supervisor.expect(Ended).handoff for _ in range(4)} == {first, first + 1, first + 2, first + 3}


FORK_SERVER = f"""
import socket, sys
from camfleet.workers import forkserver, preload, worker
preload.preload(sys.exit)
order = forkserver.serve(socket.socket(fileno=0))
if order:
    run_dir = order.run_dir
    {PROBE.replace(chr(10), chr(10) + "    ")}
    worker.main(order.camera, run_dir)
"""


def test_a_forked_idle_worker_is_small(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    """Among fifty, as pages shared with the fork server are shared by all."""
    workers = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-c", FORK_SERVER]
        server = subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.DEVNULL)
    with server, ours:  # closing our end is the fork server's end
        try:
            for number in range(50):
                camera = f"ipc{number}"
                ours.send(encode_order(Fork(camera, str(tmp_path))))
                data, (pidfd,), _, _ = socket.recv_fds(ours, MAX_ORDER_SIZE, 1)
                os.close(pidfd)
                forked = decode_order(data)
                assert isinstance(forked, Forked)
                workers.append(forked.pid)
                hello = supervisor.expect(Hello, timeout_s=30)
                assert (hello.camera, hello.pid) == (camera, forked.pid)
                supervisor.send(configure(msgspec.structs.replace(CAMERA, id=camera)))
                supervisor.send(Ping(id=number))
                supervisor.expect(Pong)
            assert probe(workers[0], tmp_path).pss_kib < 6 * 1024
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)


def test_nothing_of_the_parent_and_no_core_dump(supervisor: FakeSupervisor, starter: Starter, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    worker = starter(setup=f"{PROBE}\nos.fstat({writing})", pass_fds=[writing])
    os.close(writing)
    start(supervisor, worker)  # it would not have come so far without the descriptor
    assert select.select([reading], [], [], 5)[0], "the worker keeps a descriptor that it has inherited"
    os.close(reading)
    assert os.getsid(worker.pid) == worker.pid
    assert "Max core file size        0                    0" in Path(f"/proc/{worker.pid}/limits").read_text()
    assert probe(worker.pid, tmp_path).dumpable == 0
