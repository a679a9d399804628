"""The engine with many clients that do what they like. However they ask, read and move to another engine, each gets its
answers in order and whole frames only; and in the end nothing is left."""

import contextlib
import gc
import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from camfleet.core.net.fanout import Closed, Event, FanOut, Ready, Received, Released, live_objects
from camfleet.core.ring.stream import MediaStream
from camfleet.core.tls import Session
from camfleet.core.tls.session import record_size

from tests.kit.access_units import access_unit, key_access_unit
from tests.kit.descriptors import descriptors
from tests.kit.engine import tcp_pair
from tests.kit.interleaved import Element, InterleavedReader, RTCPPacket, RTPPacket, is_key_frame

CLIENTS, REQUESTS, DEADLINE_S = 10, 20, 30.0
SENDER_REPORT, BYE = 200, 203
TLS_1_2, TLS_1_3 = 0x0303, 0x0304
# Of a PLI, of an unknown packet type, of none, of one that is skipped unread and wherever it is cut seems to begin.
FRAMES = [bytes.fromhex("81ce0002000000010000cafe"), bytes.fromhex("80c00000"), b"", b"$" * 5000]


class Viewer:
    """What a client must see: fed with the elements that arrive, it knows what may come next."""

    def __init__(self, rtp_channel: int, rtcp_channel: int) -> None:
        self.rtp_channel = rtp_channel
        self.rtcp_channel = rtcp_channel
        self.replies = 0
        self.plays = False
        self.frame: list[RTPPacket] = []  # the one that has begun
        self.before: Element | None = None
        self.expected: int | None = None  # sequence number; None: any, but of a key frame
        self.told: int | None = None  # by RTP-Info
        self.reported = False
        self.frames = self.skips = 0

    def see(self, element: Element) -> None:
        match element:
            case bytes():
                self._reply(element.decode())
            case RTCPPacket():
                assert not self.frame, "RTCP inside a frame"
                assert element.channel == self.rtcp_channel
                if element.packet_type in (BYE, SENDER_REPORT):  # not the SDES behind them
                    self.reported = element.packet_type == SENDER_REPORT
            case RTPPacket():
                self._packet(element)
        self.before = element

    def _reply(self, text: str) -> None:
        assert not self.frame, "a reply inside a frame"
        head = re.fullmatch(r"RTSP/1.0 200 OK\r\nCSeq: (\d+)\r\nX-Method: (\w+)\r\n(?:RTP-Info: (\d+)\r\n)?\r\n", text)
        assert head, text
        self.replies += 1
        assert int(head[1]) == self.replies
        match head[2]:
            case "PLAY":
                self.plays, self.expected, self.told = True, None, int(head[3])
            case "TEARDOWN":
                said_bye = isinstance(self.before, RTCPPacket) and self.before.packet_type == BYE
                assert said_bye or not self.plays
                self.plays = False
            case "PAUSE" | "MOVE":
                self.plays = False

    def _packet(self, packet: RTPPacket) -> None:
        assert packet.channel == self.rtp_channel
        assert self.plays or self.frame, "media that nobody asked for"
        if self.frame:
            assert packet.sequence == (self.frame[-1].sequence + 1) & 0xFFFF, "a hole inside a frame"
            assert packet.timestamp == self.frame[0].timestamp, "a frame without its end"
        elif packet.sequence != self.expected:
            assert self.reported, "no report before the first frame, or after a skip"
            assert self.told in (None, packet.sequence)
            self.skips += self.told is None
            self.told = None
        self.frame.append(packet)
        if packet.marker:
            if self.frame[0].sequence != self.expected:
                assert is_key_frame(self.frame), "does not begin with a key frame"
            self.expected = (packet.sequence + 1) & 0xFFFF
            self.reported = False
            self.frames += 1
            self.frame = []


class Connection:
    """Both ends: a client with a script, and what a session does for it beside the engines."""

    def __init__(self, dice: random.Random, engines: list[FanOut], stream: MediaStream) -> None:
        self.dice = dice
        self.engines = engines
        self.stream = stream
        self.channels = dice.choice(((0, 1), (6, 7)))
        self.viewer = Viewer(*self.channels)
        self.elements = InterleavedReader()
        self.ciphertext = b""
        self.now_ns = 0
        self.script = self._script()
        self.to_send = bytearray(self.script)
        self.sealed = bytearray()
        self.requested = 0
        self.text = b""  # of the server: not yet parsed
        self.parsed = 0
        self.preparations = 0
        self.ready: Ready | None = None
        self.over = False
        self.waiting: str | None = None
        self.greed = dice.choice((1 << 20, 1 << 16, 1 << 14, 3000))
        server, self.sock = tcp_pair(receive_buffer=dice.choice((None, 4096)))
        self.sock.setblocking(False)
        self.session, exported = self._tls(dice.choice((None, TLS_1_2, TLS_1_3)))
        self.engine = dice.choice(engines)
        self.id = self.engine.adopt(server.detach(), exported)

    def _tls(self, version: int | None) -> tuple[Session | None, bytes]:
        if version is None:
            return None, b""
        suite, iv_size = (0x1301, 0) if version == TLS_1_3 else (0xC02F, 4)
        ours, theirs = os.urandom(16 + iv_size + 16), os.urandom(16 + iv_size + 16)
        secret_size = 32 if version == TLS_1_3 else 16

        def session(sending: bytes, receiving: bytes) -> Session:
            return Session.from_secrets(
                version=version,
                suite=suite,
                sending_secret=sending[:secret_size],
                receiving_secret=receiving[:secret_size],
                sending_iv=sending[secret_size : secret_size + iv_size],
                receiving_iv=receiving[secret_size : secret_size + iv_size],
            )

        return session(theirs, ours), session(ours, theirs).export(0)

    def _script(self) -> bytes:
        """Requests, and interleaved frames between them."""
        script = bytearray()
        for number in range(1, REQUESTS + 1):
            method = self.dice.choice(("OPTIONS", "PLAY", "PLAY", "PLAY", "PAUSE", "TEARDOWN", "MOVE"))
            script += b"%s * RTSP/1.0\r\nCSeq: %d\r\n\r\n" % (method.encode(), number)
            for _ in range(self.dice.randrange(3)):
                frame = self.dice.choice(FRAMES)
                script += b"$%c%s%s" % (self.channels[1], len(frame).to_bytes(2, "big"), frame)
        return bytes(script)

    # ---------------------------------------------------------------- the client

    def write_some(self) -> None:
        """Records are cut anywhere."""
        if chunk := bytes(self.to_send[: self.dice.choice((1, 7, 50, 400))]):
            del self.to_send[: len(chunk)]
            self.sealed += self.session.seal(chunk, self.now_ns) if self.session else chunk
        size = self.dice.randrange(len(self.sealed) + 1)
        self.sock.settimeout(DEADLINE_S)  # the engine reads: there is never much
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(self.sealed[:size])
        self.sock.setblocking(False)
        del self.sealed[:size]

    def read_some(self) -> None:
        """If the connection is gone, its Closed says why."""
        data = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            data = self.sock.recv(self.greed)
        for element in self.elements.feed(self._open(data)):
            self.viewer.see(element)

    def _open(self, data: bytes) -> bytes:
        if self.session is None:
            return data
        self.ciphertext += data
        found = b""
        while (size := record_size(self.ciphertext)) and len(self.ciphertext) >= size:
            self.now_ns += 10**9  # the engine's KeyUpdates come fast
            plaintext = self.session.receive(self.ciphertext[:size], self.now_ns)
            assert plaintext is not None, "close_notify"
            found += plaintext
            self.ciphertext = self.ciphertext[size:]
        return found

    # ---------------------------------------------------------------- the session

    def take(self, event: Event) -> None:
        match event:
            case Received():
                self.text += event.data
            case Ready():
                if event.preparation == self.preparations:
                    self.ready = event
            case Released():
                self.engine = self.dice.choice(self.engines)
                self.id = self.engine.adopt(event.descriptor, event.session, event.unread, in_text=True)
                self.parsed = -len(self.text)  # the new engine has not delivered these
                self.preparations = 0
                self.engine.send(self.id, self._reply("MOVE"))
            case Closed():
                assert event.reason == "hand-back timed out", event  # it reads so slowly, or the machine is
                self.over = True
                return
        self._parse()

    def play(self) -> None:
        """As late as it likes: what follows the first frame may be forgotten by then."""
        if self.ready is not None and self.dice.random() < 0.1:
            self.engine.play(self.id, self._reply("PLAY", f"RTP-Info: {self.ready.sequence}\r\n"))
            self.ready = None
            self._parse()

    def _reply(self, method: str, fields: str = "") -> bytes:
        self.waiting = None
        self.requested += 1
        return f"RTSP/1.0 200 OK\r\nCSeq: {self.requested}\r\nX-Method: {method}\r\n{fields}\r\n".encode()

    def _parse(self) -> None:
        """One message after the other; MOVE stays unparsed until the connection has moved."""
        while self.text and self.waiting is None:
            if self.text[:1] == b"$":
                size = 4 + int.from_bytes(self.text[2:4], "big") if len(self.text) >= 4 else 4
            else:
                size = self.text.find(b"\r\n\r\n") + 4
                if size < 4:
                    break
            if len(self.text) < size:
                break
            message, self.text = self.text[:size], self.text[size:]
            self.parsed += size
            if message[:1] != b"$":
                self._answer(message.split()[0].decode())
        if self.waiting is None:
            self.engine.consumed(self.id, max(0, self.parsed), not self.text)

    def _answer(self, method: str) -> None:
        match method:
            case "PLAY":
                self.waiting = method
                self.preparations += 1
                self.engine.prepare(self.id, self.stream, *self.channels)
                return
            case "MOVE":
                self.waiting = method
                self.engine.release(self.id)
                return
            case "PAUSE":
                self.engine.pause(self.id)
            case "TEARDOWN":
                self.engine.end(self.id)
        self.engine.send(self.id, self._reply(method))


def deliver(engines: list[FanOut], connections: list[Connection]) -> None:
    for engine in engines:
        for event in engine.events():
            (connection,) = [one for one in connections if one.engine is engine and one.id == event.client]
            connection.take(event)
    for connection in connections:
        connection.play()


@contextlib.contextmanager
def running(engines: list[FanOut]) -> Iterator[None]:
    threads = [threading.Thread(target=engine.run, daemon=True) for engine in engines]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for engine, thread in zip(engines, threads, strict=True):
            engine.stop()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def play_out(seed: int) -> None:
    dice = random.Random(seed)
    stream = MediaStream(ntp_offset_ns=0, cname=b"x", ssrc=0xCAFE, sequence=65_000)
    engines = [
        FanOut(max_lag_s=0.03, key_update_records=20, key_update_spacing_s=0.0, pages_from=count) for count in (1, 100)
    ]
    for engine in engines:
        engine.add_stream(stream)
    deadline = time.monotonic() + DEADLINE_S
    with running(engines):
        connections = [Connection(dice, engines, stream) for _ in range(CLIENTS)]
        number = 0
        playing = connections
        while playing := [one for one in playing if one.viewer.replies < REQUESTS and not one.over]:
            assert time.monotonic() < deadline, [one.viewer.replies for one in connections]
            key = number % 12 == 0 or stream.take_key_frame_request()
            unit = (key_access_unit if key else access_unit)(number, dice.choice((300, 4000, 30_000, 200_000)))
            stream.push(unit, time.monotonic_ns(), time.monotonic_ns())
            number += 1
            for one in dice.sample(connections, CLIENTS // 2):
                if dice.random() < 0.5:
                    one.write_some()
                for _ in range(dice.choice((0, 1, 10))):
                    one.read_some()
            deliver(engines, connections)

        for one in connections:
            assert one.viewer.frames or one.over or b"PLAY" not in one.script
            if dice.random() < 0.5:
                one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            one.sock.close()
        gone = sum(one.over for one in connections)
        while gone < CLIENTS:
            assert time.monotonic() < deadline, f"only {gone} have gone"
            for engine in engines:
                for event in engine.events():
                    gone += isinstance(event, Closed)
                    if event == Received(event.client, b""):
                        engine.close(event.client)
        assert stream.counters().readers == 0


@pytest.mark.parametrize("seed", range(4))
def test_answers_in_order_and_whole_frames_whatever_the_clients_do(seed: int) -> None:
    gc.collect()
    objects, opened = live_objects(), descriptors()
    play_out(seed)
    gc.collect()
    assert live_objects() == objects
    assert descriptors() == opened
