"""One connection through the whole server: what it asks, in which portions, and a strict reader of what comes back.

Credentials are Basic, which is allowed inside TLS: every request is known as bytes before the first answer, so that any
number of them can leave at once.
"""

import base64
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.kit.interleaved import InterleavedReader, RTCPPacket, RTPPacket
from tests.kit.rtsp import TCP, Reply, parse_replies, request
from tests.kit.server import PASSWORD, USER, Server
from tests.kit.tls_wires import Wire

NOBODY = "*"
SENDER_REPORT, BYE = 200, 203
PACKETS = 2  # to see at each PLAY

# Configuration of a server for journeys: tiny pictures, a packet or two every 8 ms, and patience with a crowd.
TWO_CAMERAS = (
    "".join(
        f"""
[[cameras]]
id = "{camera}"
name = "Test {camera}"
[[cameras.streams]]
id = "stream1"
source = {{ kind = "testlive" }}
video = {{ codec = "h264", width = 64, height = 64, fps = 120, bitrate = "300k", gop = 120 }}
"""
        for camera in ("ipc1", "ipc2")
    )
    + "[limits]\nfirst_request_timeout_s = 60\n"
)

_CREDENTIALS = "Authorization: Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Ask(NamedTuple):
    method: str
    camera: str  # NOBODY: the URL names none
    status: int = 200


def picture(camera: str) -> tuple[Ask, ...]:
    """All that it takes to see it."""
    return Ask("DESCRIBE", camera), Ask("SETUP", camera), Ask("PLAY", camera)


# Every owner that a connection can have, every change between two of them, and media at two of them.
ROUND_TRIP = (
    Ask("OPTIONS", NOBODY),  # the supervisor answers
    Ask("OPTIONS", "ipc1"),  # hand-off
    *picture("ipc1"),
    Ask("TEARDOWN", "ipc1"),
    Ask("DESCRIBE", "nowhere", 404),  # hand-back; it stays with the supervisor
    Ask("OPTIONS", NOBODY),
    *picture("ipc2"),  # hand-off
    Ask("OPTIONS", "ipc2"),  # while it plays
)


class Portion(NamedTuple):
    """What leaves in one segment, and how many answers are then read before the next one."""

    chunks: list[bytes]
    answers: int


Packing = Callable[[list[bytes]], list[Portion]]


def one_by_one(requests: list[bytes]) -> list[Portion]:
    return [Portion([each], 1) for each in requests]


def in_one_segment(requests: list[bytes]) -> list[Portion]:
    """A record for each."""
    return [Portion(requests, len(requests))]


def in_one_record(requests: list[bytes]) -> list[Portion]:
    return [Portion([b"".join(requests)], len(requests))]


def in_records_of_one_byte(requests: list[bytes]) -> list[Portion]:
    return [Portion([bytes([octet]) for octet in b"".join(requests)], len(requests))]


def across_records(requests: list[bytes]) -> list[Portion]:
    """Each record ends in the middle of a request, and the next one begins like an interleaved frame."""
    first, *others = b"".join(requests).split(b"$")
    return [Portion([first, *(b"$" + other for other in others)], len(requests))]


class Conversation:
    """Encodes requests and reads everything strictly in order: answers by CSeq, RTP by sequence number."""

    def __init__(self, server: Server) -> None:
        self.wire: Wire | None = None
        self.packets = 0  # RTP packets of the present session
        self._server = server
        self._reader = InterleavedReader()
        self._answers: deque[Reply] = deque()
        self._asked = self._answered = 0
        self._sequence: int | None = None  # of the next RTP packet
        self._ssrc = 0
        self._playing = False
        self._reported = False  # a sender report came before the first packet

    # ------------------------------------------------------------ requests

    def encode(self, ask: Ask, *fields: str) -> bytes:
        """With the next CSeq."""
        self._asked += 1
        url = NOBODY if ask.camera == NOBODY else self._server.bare_url(ask.camera)
        if ask.method == "SETUP":
            url += "/trackID=0"
            fields = (f"Transport: {TCP}", *fields)
        if ask.camera != NOBODY:
            fields = (_CREDENTIALS, *fields)
        return request(ask.method, url, "Price: $1", *fields, cseq=self._asked)

    def travel(self, asks: Sequence[Ask], packing: Packing = one_by_one) -> None:
        """Ask all and check every answer; at the end the last session plays or has been torn down."""
        portions = packing([self.encode(ask) for ask in asks])
        self.follow(asks, portions)

    def follow(self, asks: Sequence[Ask], portions: Iterable[Portion], sent: int = 0) -> None:
        """The first `sent` portions have left already."""
        assert self.wire is not None
        waiting = deque(asks)
        for index, portion in enumerate(portions):
            if index >= sent:
                self.wire.send(*portion.chunks)
            for _ in range(portion.answers):
                self.expect(waiting.popleft())
            if self._playing:
                self.watch()
        assert not waiting

    # ------------------------------------------------------------ answers

    def expect(self, ask: Ask) -> Reply:
        """The next answer."""
        while not self._answers:
            assert self._pump(), f"close_notify instead of the answer to {ask}"
        answer = self._answers.popleft()
        self._answered += 1
        assert (answer.cseq, answer.status) == (str(self._answered), ask.status), f"{ask}: {answer.head}"
        if ask.method == "DESCRIBE" and ask.status == 200:
            assert f"\r\ns=Test {ask.camera}\r\n" in answer.body.decode(), "another camera's description"
        return answer

    def watch(self, packets: int = PACKETS) -> None:
        """So many more RTP packets without a hole."""
        wanted = self.packets + packets
        while self.packets < wanted:
            assert self._pump(), "close_notify instead of RTP"

    def end(self) -> None:
        """close_notify, answered with close_notify."""
        assert self.wire is not None
        self.wire.say_goodbye()
        self.read_to_end()

    def read_to_end(self, answers: int = 0) -> None:
        """Up to the server's close_notify, with so many answers at most; what plays goes on until then."""
        try:
            while self._pump():
                pass
        finally:
            assert len(self._answers) <= answers, "an answer to nothing"
        assert not self._reader.buffer, "an unfinished message"

    def _pump(self) -> bool:
        assert self.wire is not None
        data = self.wire.receive()
        for element in self._reader.feed(data):
            if isinstance(element, RTPPacket):
                self._take_packet(element)
            elif isinstance(element, RTCPPacket):
                self._take_report(element)
            else:
                self._take_text(element)
        return bool(data)

    def _take_text(self, text: bytes) -> None:
        """The stream changes its state where the answer stands in it, however late the answer is asked for."""
        (answer,) = parse_replies(text)
        self._answers.append(answer)
        if "ssrc=" in answer.headers.get("transport", ""):
            self._ssrc = int(answer.headers["transport"].rpartition("ssrc=")[2], 16)
        if "rtp-info" in answer.headers:
            self._sequence = int(answer.headers["rtp-info"].partition("seq=")[2].partition(";")[0])
            self._playing, self._reported, self.packets = True, False, 0

    def _take_packet(self, packet: RTPPacket) -> None:
        assert self._playing, "RTP outside of PLAY"
        assert self._reported, "RTP before the first sender report"
        assert (packet.sequence, packet.ssrc) == (self._sequence, self._ssrc), "a hole, or not as RTP-Info said"
        self._sequence = (packet.sequence + 1) & 0xFFFF
        self.packets += 1

    def _take_report(self, report: RTCPPacket) -> None:
        self._reported |= report.packet_type == SENDER_REPORT
        if report.packet_type == BYE:
            self._playing = False
