"""What a client may say before it names a camera of ours, and how long it may take for it."""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import pytest
from camfleet.core.rtsp import OtherCamera, Refused
from camfleet.supervisor.listen import Channel
from camfleet.supervisor.listen.door import TurnedAwayError
from camfleet.supervisor.route.first_request import MAX_ANSWERS, MAX_RECEIVED_SIZE, first_request

from tests.kit.rtsp import connection, digest, nonce_of, parse_replies, request
from tests.kit.supervisor import until

KNOWN = {"ipc1", "ipc2"}
URL = "rtsp://192.0.2.7:8554/ipc1-stream1/testlive"
NOWHERE = "rtsp://192.0.2.7:8554/nowhere-stream1/testlive"


class PaperChannel:
    """Gives out the client's chunks and then waits for ever, or for more; None ends it."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent = b""
        for chunk in chunks:
            self.incoming.put_nowait(chunk)

    async def receive(self) -> bytes:
        return await self.incoming.get()

    async def send(self, data: bytes) -> None:
        self.sent += data


class Rig:
    def __init__(self, *chunks: bytes, timeout_s: float = 5.0) -> None:
        self.channel = PaperChannel(chunks)
        self.failed_logins: list[str] = []
        self.refused: list[Refused] = []
        now_ns = time.monotonic_ns()
        self.rtsp = connection(camera=None, streams={}, first_request_timeout_s=timeout_s, now_ns=now_ns)
        self.deadline_ns = now_ns + int(timeout_s * 1e9)

    async def run(self) -> OtherCamera | None:
        return await first_request(
            cast(Channel, self.channel),
            self.rtsp,
            self.deadline_ns,
            is_known=KNOWN.__contains__,
            login_failed=self.failed_logins.append,
            refused=self.refused.append,
        )

    async def turned_away(self) -> str:
        """Why it was we who ended it."""
        with pytest.raises(TurnedAwayError) as error:
            await self.run()
        return f"{error.value.reason}: {error.value}"

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in parse_replies(self.channel.sent)]


async def test_a_request_for_a_camera_is_passed_on_unanswered_with_all_that_follows() -> None:
    both = request("DESCRIBE", URL, cseq=1) + request("OPTIONS", URL, cseq=2) + b"GET_PAR"
    rig = Rig(both)
    found = await rig.run()
    assert found == OtherCamera("ipc1", both)
    assert rig.channel.sent == b""


@pytest.mark.parametrize("size", [1, 2, 7, 40])
async def test_at_any_cut(size: int) -> None:
    data = request("OPTIONS", "*", cseq=1) + request("DESCRIBE", URL, cseq=2)
    rig = Rig(*(data[start : start + size] for start in range(0, len(data), size)))
    found = await rig.run()
    assert found == OtherCamera("ipc1", request("DESCRIBE", URL, cseq=2))
    assert rig.statuses == [200]


async def test_what_was_answered_here_is_answered_before_the_connection_moves() -> None:
    rig = Rig(request("OPTIONS", "*", cseq=1) + request("DESCRIBE", URL, cseq=2))
    found = await rig.run()
    assert found == OtherCamera("ipc1", request("DESCRIBE", URL, cseq=2))
    assert [reply.cseq for reply in parse_replies(rig.channel.sent)] == ["1"]


async def test_an_unknown_camera_is_401_and_404_and_then_a_known_one_is_found() -> None:
    rig = Rig(request("DESCRIBE", NOWHERE, cseq=1))
    running = asyncio.create_task(rig.run())
    await until(lambda: rig.channel.sent)
    (challenge,) = parse_replies(rig.channel.sent)
    assert challenge.status == 401
    credentials = digest("DESCRIBE", NOWHERE, nonce_of(challenge))
    rig.channel.incoming.put_nowait(request("DESCRIBE", NOWHERE, credentials, cseq=2))
    rig.channel.incoming.put_nowait(request("DESCRIBE", URL, cseq=3))
    found = await running
    assert found is not None
    assert found.camera == "ipc1"
    assert rig.statuses == [401, 404]
    assert rig.failed_logins == []
    assert rig.refused == [Refused(NOWHERE, "there is no such camera")]


async def test_wrong_credentials_for_an_unknown_camera_are_a_failed_login() -> None:
    rig = Rig(request("DESCRIBE", NOWHERE, cseq=1))
    running = asyncio.create_task(rig.run())
    await until(lambda: rig.channel.sent)
    (challenge,) = parse_replies(rig.channel.sent)
    credentials = digest("DESCRIBE", NOWHERE, nonce_of(challenge), password="guessed")
    rig.channel.incoming.put_nowait(request("DESCRIBE", NOWHERE, credentials, cseq=2))
    rig.channel.incoming.put_nowait(b"")
    assert await running is None
    assert rig.statuses == [401, 401]
    assert rig.failed_logins == ["viewer"]


async def test_only_so_many_answers_without_a_camera() -> None:
    rig = Rig(*(request("OPTIONS", "*", cseq=number) for number in range(1, 100)))
    assert await rig.turned_away() == "no camera: no request for one among 8"
    assert rig.statuses == [200] * MAX_ANSWERS


async def test_only_so_many_bytes_without_a_camera() -> None:
    frames = b"$\0\0\0" * 4096
    rig = Rig(*[frames] * (MAX_RECEIVED_SIZE // len(frames) + 2))
    assert await rig.turned_away() == "no camera: no request for one in 1064960 bytes"
    assert rig.channel.sent == b""
    assert rig.channel.incoming.qsize() == 1


async def test_a_client_that_says_nothing_is_given_up() -> None:
    rig = Rig(timeout_s=0.05)
    assert await rig.turned_away() == "no camera: no request for one in time"
    assert rig.channel.sent == b""


async def test_a_request_that_does_not_end_is_given_up_with_408() -> None:
    rig = Rig(b"OPTIONS rtsp://", timeout_s=0.05)
    assert await rig.turned_away() == "no camera: no request for one in time"
    assert rig.statuses == [408]


async def test_many_requests_do_not_buy_time() -> None:
    """The deadline is for the first request that names a camera, not for each."""
    rig = Rig(timeout_s=0.2)
    running = asyncio.create_task(rig.turned_away())
    begin = time.monotonic()
    number = 0
    while not running.done():
        await asyncio.sleep(0.05)  # the pace of the client
        number += 1
        rig.channel.incoming.put_nowait(request("OPTIONS", "*", cseq=number))
        assert time.monotonic() - begin < 2.0
    assert running.result() == "no camera: no request for one in time"
    assert len(rig.statuses) < MAX_ANSWERS


async def test_the_end_of_the_connection_is_the_end() -> None:
    assert await Rig(request("OPTIONS", "*"), b"").run() is None


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"x" * 100_000])
async def test_what_is_not_rtsp_gets_an_error_and_no_camera(data: bytes) -> None:
    rig = Rig(data, timeout_s=0.5)
    assert (await rig.turned_away()).startswith(("refused", "no camera"))
    assert all(status >= 400 for status in rig.statuses)
