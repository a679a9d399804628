"""A camera changes hands between two workers: both live in this process, with real engines, encoders and sockets.

What a worker is beside its camera, the bus and the process, is not here; see tests/process/test_worker_succession.py.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest
from camfleet.core.wire import CameraSpec, FileLive, HandoffRecord, RTSPLive, Source, VideoSpec
from camfleet.core.wire.control import Adopted, Connection, Ended, LoggedIn, Message, TLSInfo
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.core.wire.succession import (
    Checked,
    Commit,
    Complete,
    Datagram,
    Introduction,
    MovingClient,
    Numbers,
    Part,
    Prepared,
    socket_name,
)
from camfleet.workers import lock
from camfleet.workers.adopt import Handoff
from camfleet.workers.camera import LiveCamera
from camfleet.workers.encoders import open_encoder
from camfleet.workers.pipeline import IDLE, RUNNING
from camfleet.workers.succession import Predecessor, SuccessionError, Successor, predecessor, successor
from camfleet.workers.succession.lane import Lane

from tests.kit import upstream as kit
from tests.kit.clips import flat_picture, noise_picture, write_clip
from tests.kit.engine import tcp_pair
from tests.kit.interleaved import frames, holes, is_key_frame
from tests.kit.supervisor import connection, open_descriptors, until
from tests.kit.worker import CAMERA, URL, Player, configure, tls_pair

TLS = TLSInfo(version="TLSv1.3", suite="TLS_AES_128_GCM_SHA256")
VIDEO = VideoSpec(width=160, height=96, fps=20, bitrate_bps=100_000, gop=20)

Fault = Callable[[Lane], Awaitable[None]]
Arrange = Callable[[type[Datagram], Fault], None]


def of(source: Source, video: VideoSpec | None = None) -> CameraSpec:
    """The usual camera with another picture."""
    stream = msgspec.structs.replace(CAMERA.streams[0], source=source, video=video)
    return msgspec.structs.replace(CAMERA, streams=(stream,))


class Worker:
    """A camera and what it says."""

    def __init__(self, spec: CameraSpec = CAMERA, *, held: bool = False) -> None:
        self.news: list[Message] = []
        self.camera = LiveCamera(
            configure(spec), news=self.news.append, hand_back=lambda *_: None, failed=lambda _: None, held=held
        )

    def handoff(self, number: int, player: Player, server: int, session: bytes = b"") -> Handoff:
        who = connection(number, tls=TLS if session else None)
        return Handoff(who, player.first_request(), HandoffRecord(HANDOFF_VERSION, number, session), server)


class Change:
    """Of hands, in a run folder of its own."""

    def __init__(self, folder: Path, spec: CameraSpec = CAMERA) -> None:
        self.folder = folder
        self.old = Worker(spec)
        self.new: Worker | None = None
        self.players: list[Player] = []
        descriptor = lock.take(folder / "ipc1.lock")
        assert descriptor is not None
        self.lock = descriptor
        self.new_one_dies = False  # just after the change
        self.after: asyncio.Future[tuple[None, None]] | None = None
        self.heir: Successor | None = None
        self.refused: list[Connection] = []
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, at: TracebackType | None) -> None:
        await self.part()
        for player in self.players:
            player.sock.close()
        for worker in (self.old, self.new):
            if worker is not None:
                await worker.camera.close(1.0)
        with contextlib.suppress(OSError):  # who dies closes it
            os.close(self.lock)

    async def reader(
        self, *, tls: bool = False, plays: bool = True, receive_buffer: int | None = None, query: str = ""
    ) -> Player:
        """A client of the old worker."""
        server, client = tcp_pair(receive_buffer)
        ours, theirs = tls_pair() if tls else (None, None)
        player = Player(client, theirs, URL.removesuffix("/testlive") + query)
        self.players.append(player)
        exported = ours.export(0) if ours is not None else b""
        handoff = self.old.handoff(next(self._numbers), player, server.detach(), exported)
        self.old.camera.registry.adopt(handoff, time.monotonic_ns())
        await asyncio.to_thread(player.log_in)
        if plays:
            await asyncio.to_thread(player.play)
            await asyncio.to_thread(player.read_packets, 3)
        return player

    def comes_at(self, monkeypatch: pytest.MonkeyPatch, kind: type[Datagram]) -> Player:
        """A client, number 99, that the supervisor hands to the old worker when this datagram is about to be sent."""
        server, client = tcp_pair()
        self.players.append(player := Player(client))
        send = Lane.send

        async def comes(lane: Lane, datagram: Datagram, descriptor: int | None = None) -> None:
            if isinstance(datagram, kind) and server.fileno() >= 0:
                assert self.predecessor.holding
                self.predecessor.take(self.old.handoff(99, player, server.detach()))
            await send(lane, datagram, descriptor)

        monkeypatch.setattr(Lane, "send", comes)
        return player

    async def change(self, spec: CameraSpec = CAMERA) -> tuple[int | BaseException, BaseException | None]:
        """What becomes of the successor, which returns the lock, and of the predecessor."""
        self.new = Worker(spec, held=True)
        heir = Successor("ipc1", self.folder, os.getppid())
        heir.configured.set_result(self.new.camera)
        self.predecessor = Predecessor("ipc1", self.old.camera, self.lock)
        results = await asyncio.gather(
            heir.run(), self.predecessor.run(self.folder, os.getpid()), return_exceptions=True
        )
        if results[1] is None:
            if self.new_one_dies:
                heir.close()
            self.after = asyncio.gather(self._latecomers(heir), self.predecessor.forward(self._refuse))
        self.heir = heir
        return results

    def _refuse(self, who: Connection, _: str) -> None:
        self.refused.append(who)

    async def _latecomers(self, heir: Successor) -> None:
        assert self.new is not None
        async for handoff in heir.latecomers():
            self.new.camera.registry.adopt(handoff, time.monotonic_ns())

    async def hands_over(self, spec: CameraSpec = CAMERA) -> None:
        taken, given = await self.change(spec)
        assert given is None
        assert isinstance(taken, int)
        assert is_locked(self.folder)
        self.lock = taken

    async def fails(self, *reasons: str, spec: CameraSpec = CAMERA) -> None:
        """Both say why: the successor, then the predecessor."""
        results = await self.change(spec)
        for result, reason in zip(results, reasons, strict=True):
            assert isinstance(result, SuccessionError), result
            assert reason in str(result)
        assert is_locked(self.folder)

    async def bury(self) -> None:
        """The old one ends, and the new one is the old one of another change."""
        assert self.new is not None
        await self.part()
        await self.old.camera.close(0.5)
        self.old, self.new = self.new, None

    async def shows(self, count: int) -> None:
        """So many pictures more."""
        media = self.old.camera.streams["stream1"].media
        wanted = media.counters().frames + count
        await until(lambda: media.counters().frames >= wanted)

    async def bury_new(self) -> None:
        assert self.new is not None
        await self.new.camera.close(0.5)
        self.new = None

    async def part(self) -> None:
        """They say no more to each other."""
        if self.after is not None:
            self.after.cancel()
            await asyncio.gather(self.after, return_exceptions=True)
            self.after = None
        if self.heir is not None:
            self.predecessor.close()
            self.heir.close()

    def hands(self) -> tuple[int, int]:
        """How many clients each of them has."""
        return len(self.old.camera.registry), len(self.new.camera.registry) if self.new else 0


def is_locked(folder: Path) -> bool:
    descriptor = lock.take(folder / "ipc1.lock")
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


async def plays_on(player: Player, count: int = 25) -> None:
    """One stream, whatever has happened."""
    await asyncio.to_thread(player.read_packets, count)
    assert holes(player.packets) == 0
    assert len({packet.ssrc for packet in player.packets}) == 1
    pictures = frames(player.packets)
    times = [picture[0].timestamp for picture in pictures]
    assert all(0 < (later - earlier) % 2**32 < 2**31 for earlier, later in itertools.pairwise(times))


def key_frames(player: Player) -> int:
    return sum(is_key_frame(picture) for picture in frames(player.packets)[:-1])


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """`at(kind, what)`: what happens in the place of the first datagram of this kind that is sent."""

    def arrange(kind: type[Datagram], what: Fault) -> None:
        send, done = Lane.send, list[bool]()

        async def faulty(lane: Lane, datagram: Datagram, descriptor: int | None = None) -> None:
            if isinstance(datagram, kind) and not done:
                done.append(True)
                await what(lane)
            await send(lane, datagram, descriptor)

        monkeypatch.setattr(Lane, "send", faulty)

    return arrange


async def breaks(_: Lane) -> None:
    raise SuccessionError("broken on purpose")


async def hangs(_: Lane) -> None:
    await asyncio.get_running_loop().create_future()


# ---------------------------------------------------------------- it works


async def test_readers_of_all_kinds_see_nothing_of_it(tmp_path: Path) -> None:
    async with Change(tmp_path) as change:
        plain, secure = await change.reader(), await change.reader(tls=True)
        paused, connected = await change.reader(tls=True), await change.reader(plays=False)
        assert (await asyncio.to_thread(paused.ask, "PAUSE")).status == 200
        sent = [news for news in change.old.news if isinstance(news, Ended)]
        await change.hands_over()
        assert change.hands() == (0, 4)
        for player in (plain, secure):
            await plays_on(player)
        assert (await asyncio.to_thread(paused.ask, "PLAY")).status == 200
        await asyncio.to_thread(paused.read_packets, 5)
        assert (await asyncio.to_thread(connected.play)).status == 200
        for player in change.players:
            assert (await asyncio.to_thread(player.ask, "GET_PARAMETER")).status == 200
        assert [news for news in change.old.news if isinstance(news, Ended)] == sent


async def test_variants_go_along_with_who_has_them(tmp_path: Path) -> None:
    """Those that play, and one that is paused and made by nobody at the moment; the limit is lower by now."""
    async with Change(tmp_path) as change:
        whole, small = await change.reader(), await change.reader(tls=True, query="?w=96&fps=10")
        shared, paused = await change.reader(query="?fps=10&w=96"), await change.reader(query="?w=80")
        assert (await asyncio.to_thread(paused.ask, "PAUSE")).status == 200
        await until(lambda: change.old.camera.streams["stream1?w=80"].pipeline.state == IDLE)
        await change.hands_over(msgspec.structs.replace(CAMERA, max_variants=0))
        assert change.hands() == (0, 4)
        for player in (whole, small, shared):
            await plays_on(player)
        assert (await asyncio.to_thread(paused.ask, "PLAY")).status == 200
        await asyncio.to_thread(paused.read_packets, 5)
        assert small.packets[0].ssrc == shared.packets[0].ssrc
        assert len({packet.ssrc for player in change.players for packet in player.packets}) == 3
        assert change.new is not None
        assert set(change.new.camera.streams) == {"stream1", "stream1?w=96&fps=10", "stream1?w=80"}


async def test_ten_times_in_a_row_and_nothing_is_left_open(tmp_path: Path) -> None:
    async with Change(tmp_path) as change:
        players = [await change.reader(tls=tls) for tls in (True, False)]
        opened = []
        for _ in range(10):
            await change.hands_over()
            await change.bury()
            gc.collect()  # the engine's
            opened.append(open_descriptors())
        for player in players:
            await plays_on(player, 60)
        assert opened[1:] == opened[:-1]


@pytest.mark.parametrize("b_frames", [0, 2])
async def test_a_film_begins_anew_and_its_readers_see_one_stream(tmp_path: Path, b_frames: int) -> None:
    """Long before its next key frame, and not before the last picture of the other one."""
    film = write_clip(tmp_path / "film.mp4", gop=400, pictures=400, b_frames=b_frames)
    spec = of(FileLive(str(film)))
    async with Change(tmp_path, spec) as change:
        player = await change.reader(tls=True)
        for _ in range(3):
            await change.hands_over(spec)
            await change.bury()
            await change.shows(3)
        # The change takes as long as it takes: so many pictures of each worker as there were meanwhile.
        await asyncio.to_thread(player.read_until, lambda: key_frames(player) == 4, "key frame of each worker")
        await asyncio.to_thread(player.read_packets, 10)
        assert holes(player.packets) == 0
        pictures = frames(player.packets)[:-1]
        times = [(picture[0].timestamp - pictures[0][0].timestamp + 90_000) % 2**32 for picture in pictures]
        _, *anew = (number for number, picture in enumerate(pictures) if is_key_frame(picture))
        assert len(anew) == 3
        assert all(max(times[:begin]) < min(times[begin:]) for begin in anew)
        assert len(set(times)) == len(times)


async def test_a_camera_elsewhere_goes_on_from_the_key_frame_that_the_new_one_has_kept(tmp_path: Path) -> None:
    """It may be long till the next one; readers would see the slate."""

    def one_key_frame(peer: kit.Peer) -> None:
        kit.play(peer)
        kit.send_film(peer, kit.film(length=1500, gop=1500), interval_s=0.02)

    with kit.Upstream(one_key_frame) as upstream:
        async with Change(tmp_path, of(RTSPLive(url=f"{upstream.url}/old"))) as change:
            player = await change.reader()
            await change.hands_over(of(RTSPLive(url=f"{upstream.url}/new")))  # workers share no connection
            await plays_on(player, 100)
            await asyncio.to_thread(player.read_until, lambda: key_frames(player) == 2, "key frame of each worker")
            assert change.new is not None
            assert change.new.camera.streams["stream1"].pipeline.state == RUNNING
            assert len(upstream.peers) == 2


@pytest.mark.parametrize("patience_s", [8.0, 1.5])
async def test_the_first_picture_of_a_re_encoded_camera_elsewhere_is_waited_for(
    patience_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a key frame every few seconds, and only what comes after one can be decoded. Readers watch the old one."""
    monkeypatch.setattr(successor, "PICTURE_TIMEOUT_S", patience_s)
    monkeypatch.setattr(successor, "ORPHAN_TIMEOUT_S", 0.1)

    def late_for_the_second(peer: kit.Peer) -> None:
        kit.play(peer)
        if len(upstream.peers) > 1:
            peer.wait(2.5)
        kit.send_film(peer, film, interval_s=0.02)

    encoder = open_encoder(msgspec.structs.replace(VIDEO, encoder="x264"))
    film = [bytes(unit.data) for n in range(600) for unit in encoder.encode(flat_picture(n, 160, 96), n, n, False)]
    with kit.Upstream(late_for_the_second) as upstream:
        async with Change(tmp_path, of(RTSPLive(url=f"{upstream.url}/old"), VIDEO)) as change:
            player = await change.reader()
            renewed = of(RTSPLive(url=f"{upstream.url}/new"), VIDEO)  # workers share no connection
            if patience_s > 2.5:
                await change.hands_over(renewed)
            else:
                await change.fails("stream1: no picture", "stream1: no picture", spec=renewed)
            await plays_on(player)
            assert holes(player.packets) == 0


async def test_a_slow_reader_goes_along_with_what_it_has_not_been_sent(tmp_path: Path) -> None:
    """More than a datagram holds; and its pictures are whole, whatever it has to give up."""
    film = write_clip(tmp_path / "film.mp4", pictures=30, size=(320, 240), options={"qp": "5"}, paint=noise_picture)
    spec = of(FileLive(str(film)))
    async with Change(tmp_path, spec) as change:
        player = await change.reader(receive_buffer=8192)
        await until(lambda: next(change.old.camera.registry.fanout.readers()).lag_ns > 200_000_000, 20.0)
        parts = 0
        send = Lane.send

        async def count(lane: Lane, datagram: Datagram, descriptor: int | None = None) -> None:
            nonlocal parts
            parts += isinstance(datagram, Part)
            await send(lane, datagram, descriptor)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Lane, "send", count)
            await change.hands_over(spec)
        assert parts > 1
        await asyncio.to_thread(player.read_packets, 5000)
        cuts = [at for at, (a, b) in enumerate(itertools.pairwise(player.packets), 1) if (b[2] - a[2]) % 65536 != 1]
        for begin, end in itertools.pairwise([0, *cuts, len(player.packets)]):
            assert is_key_frame(frames(player.packets[begin:end])[0])
        assert len({packet.ssrc for packet in player.packets}) == 1


async def test_who_comes_while_it_changes_hands_is_served_by_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Change(tmp_path) as change:
        await change.reader()
        player = change.comes_at(monkeypatch, Complete)
        await change.hands_over()
        await asyncio.to_thread(player.log_in)
        await asyncio.to_thread(player.play)
        assert change.hands() == (0, 2)
        assert change.new is not None
        assert change.new.news == [Adopted(handoff=99), LoggedIn(handoff=99)]


async def test_who_comes_too_late_even_for_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor has died. The supervisor tries another worker."""
    async with Change(tmp_path) as change:
        player = change.comes_at(monkeypatch, Complete)
        change.new_one_dies = True
        await change.hands_over()
        await until(lambda: change.refused == [connection(99)])
        assert await asyncio.to_thread(player.read) is False


# ---------------------------------------------------------------- the successor fails


@pytest.mark.parametrize("kind", [Prepared, Checked])
@pytest.mark.parametrize("how", [breaks, hangs])
async def test_a_successor_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Arrange, kind: type[Datagram], how: Fault
) -> None:
    """And the next one does not."""
    for name in ("PREPARE_TIMEOUT_S", "HOLD_TIMEOUT_S"):
        monkeypatch.setattr(predecessor, name, 0.5)
    monkeypatch.setattr(successor, "ORPHAN_TIMEOUT_S", 0.1)
    monkeypatch.setattr(successor, "TIMEOUT_S", 1.0)
    async with Change(tmp_path) as change:
        plain, secure = await change.reader(), await change.reader(tls=True)
        paused = await change.reader(plays=False)
        player = change.comes_at(monkeypatch, Complete)
        at(kind, how)
        await change.fails("", "")
        assert change.hands() == ((4, 0) if kind is Checked else (3, 0))
        if kind is Checked:
            await asyncio.to_thread(player.log_in)
        for reader in (plain, secure):
            await plays_on(reader)
        assert (await asyncio.to_thread(paused.play)).status == 200
        assert key_frames(plain) >= 1
        await change.bury_new()
        await change.hands_over()
        for reader in (plain, secure, paused):
            await plays_on(reader)


async def test_a_source_that_does_not_open_is_named(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4")
    async with Change(tmp_path, of(FileLive(str(film)))) as change:
        player = await change.reader()
        for spec in (of(FileLive(str(tmp_path / "none.mp4"))), of(FileLive(str(tmp_path / "none.mp4")), VIDEO)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(successor, "ORPHAN_TIMEOUT_S", 0.1)
                await change.fails("none.mp4", "none.mp4", spec=spec)
            await change.bury_new()
        await plays_on(player)


async def test_another_version_is_not_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessor, "SUCCESSION_VERSION", 77)
    monkeypatch.setattr(successor, "ORPHAN_TIMEOUT_S", 0.1)
    async with Change(tmp_path) as change:
        await change.fails("version 77", "version 77")


async def test_nobody_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(successor, "TIMEOUT_S", 0.2)
    async with Change(tmp_path):
        with pytest.raises(SuccessionError, match="nobody has handed over"):
            await Successor("ipc1", tmp_path, os.getppid()).run()
        assert await asyncio.to_thread(lambda: list(tmp_path.glob("*.heir"))) == []


async def test_the_supervisor_has_gone_before_anybody_could_come(tmp_path: Path) -> None:
    """With the fork server, which is a successor's parent."""
    async with Change(tmp_path):
        with pytest.raises(SuccessionError, match="supervisor has gone"):
            await Successor("ipc1", tmp_path, os.getpid()).run()


async def test_only_the_successor_that_is_meant_gets_anything(tmp_path: Path) -> None:
    async with Change(tmp_path) as change:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(tmp_path / socket_name(1)))
            listener.listen()
            with pytest.raises(SuccessionError, match=f"process {os.getpid()} listens"):
                await Predecessor("ipc1", change.old.camera, change.lock).run(tmp_path, 1)
        with pytest.raises(SuccessionError, match="cannot be reached"):
            await Predecessor("ipc1", change.old.camera, change.lock).run(tmp_path, 2)


async def test_a_session_of_another_layout_is_seen_before_it_is_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(successor, "ORPHAN_TIMEOUT_S", 0.1)
    send_client = Lane.send_client

    async def of_another_layout(lane: Lane, client: MovingClient, descriptor: int) -> None:
        session = b"\x63" + client.session[1:]
        await send_client(lane, msgspec.structs.replace(client, session=session), descriptor)

    monkeypatch.setattr(Lane, "send_client", of_another_layout)
    async with Change(tmp_path) as change:
        player = await change.reader(tls=True)
        await change.fails("cannot be read", "given up")
        await plays_on(player)


# ---------------------------------------------------------------- the predecessor dies


@pytest.mark.parametrize("kind", [Introduction, Numbers, MovingClient, Complete, Commit])
async def test_who_outlives_the_predecessor_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Arrange, kind: type[Datagram]
) -> None:
    """With all clients that it has got; as a death ends the others."""
    monkeypatch.setattr(Predecessor, "_go_on", lambda _: None)
    async with Change(tmp_path) as change:
        player = await change.reader(tls=True)

        async def dies(lane: Lane) -> None:
            os.close(change.lock)
            lane.close()
            raise SuccessionError("dead")

        at(kind, dies)
        taken, given = await change.change()
        assert isinstance(given, SuccessionError)
        assert isinstance(taken, int)
        assert is_locked(tmp_path)
        change.lock = taken
        arrived = kind in (Complete, Commit)
        assert change.hands()[1] == arrived
        if arrived:
            await plays_on(player)
        assert change.new is not None
        change.old, change.new = change.new, change.old
        await plays_on(await change.reader())


async def test_the_death_of_the_predecessor_before_the_successor_is_configured(tmp_path: Path) -> None:
    async with Change(tmp_path) as change:
        heir = Successor("ipc1", tmp_path, os.getppid())
        running = asyncio.create_task(heir.run())
        os.close(change.lock)
        await until(lambda: is_locked(tmp_path))
        change.new = Worker(held=True)
        heir.configured.set_result(change.new.camera)
        change.lock = await running
        assert int((tmp_path / "ipc1.lock").read_text()) == os.getpid()
