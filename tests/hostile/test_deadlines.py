"""Whoever does not come to an end: bad inputs 3, 4, 20, 44, 59 and the like, with the time limits lowered.

All at once, as each takes the whole limit: a byte now and then from every client that still has one to send.
"""

import contextlib
import select
import time
from typing import NamedTuple

import pytest

from tests.hostile.client import CLOSED, Client
from tests.hostile.conftest import Ward
from tests.hostile.test_tls import GOOD_HELLO
from tests.kit.rtsp import request

LIMIT_S = 2.0
SLACK_S = 4.0  # a worker looks once a second, and the machine may be busy
DRIP_S = 0.1
OPTIONS = request("OPTIONS", "*")


@pytest.fixture(scope="module")
def limits() -> str:
    return f"first_request_timeout_s = {LIMIT_S}\nhandshake_timeout_s = {LIMIT_S}"


class Slow(NamedTuple):
    """What comes at once, what comes byte by byte, and the answers."""

    name: str
    at_once: bytes
    drip: bytes
    statuses: list[int]
    tls: bool
    adopted: bool
    secure_port: bool | None = None


def slow(name: str, at_once: bytes, drip: bytes, *statuses: int, first_only: bool = False) -> list[Slow]:
    """`first_only`: a worker waits for the next request as long as the session lives."""
    return [
        Slow(f"{name}-{'tls' if tls else 'plain'}-{'adopted' if adopted else 'first'}",
             at_once, drip, list(statuses), tls, adopted)
        for tls in (False, True)
        for adopted in ((False,) if first_only else (False, True))
    ]  # fmt: skip


SLOW = [
    *slow("A3 nothing", b"", b"", first_only=True),
    *slow("A3 one byte", b"O", b"", 408),
    *slow("A3 a line", b"OPTIONS * RTSP/1.0\r\n", b"", 408),
    *slow("A4 a byte now and then", b"", request("OPTIONS", "*", "X: " + "x" * 1000), 408),
    *slow("A4 an empty line now and then", b"", b"\r\n" * 4, first_only=True),
    *slow("A13 requests for nothing", OPTIONS, b"", 200, first_only=True),
    *slow("B20 no body", request("OPTIONS", "*", "Content-Length: 5"), b"", 408),
    *slow("B20 a body byte by byte", request("OPTIONS", "*", "Content-Length: 1000"), bytes(999), 408),
    *slow("D44 frame cut short", b"$\x00\xff\xff0123456789", b"", 408, first_only=True),
    *slow("D44 frame cut short behind a request", OPTIONS + b"$\x00\xff\xff0123456789", b"", 200, 408),
    *slow("D44 a frame byte by byte", b"", b"$\x00\xff\xff" + bytes(1000), 408, first_only=True),
    *(
        Slow(f"F59 {name}-{'rtsps_port' if secure_port else 'rtsp_port'}", said, drip, [], False, False, secure_port)
        for secure_port in (True, False)
        for name, said, drip in (
            ("one byte of a hello", GOOD_HELLO[:1], b""),
            ("a hello byte by byte", b"", GOOD_HELLO),
            ("a hello without its end", GOOD_HELLO[:-1], b""),
        )
    ),
]


class Ending(NamedTuple):
    statuses: list[int]
    end: str
    lasted_s: float


@pytest.fixture(scope="module")
def endings(ward: Ward) -> dict[str, Ending]:
    """How each of SLOW came to its end."""
    began_ns = time.monotonic_ns()
    found: dict[str, Ending] = {}
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        waiting: dict[int, tuple[Slow, Client, float]] = {}
        for case in SLOW:
            client = stack.enter_context(ward.client(tls=case.tls, adopted=case.adopted, secure_port=case.secure_port))
            waiting[client.sock.fileno()] = case, client, time.monotonic()
            client.send(case.at_once)
            poll.register(client.sock, select.POLLIN)
        sent = 0
        while waiting and time.monotonic_ns() - began_ns < 3 * (LIMIT_S + SLACK_S) * 1e9:
            for case, client, _ in waiting.values():
                client.send(case.drip[sent : sent + 1])
            sent += 1
            poll.poll(DRIP_S * 1000)
            for descriptor, (case, client, since_s) in list(waiting.items()):
                while client.receive(0):
                    pass
                if client.end != "open":
                    poll.unregister(descriptor)
                    del waiting[descriptor]
                    statuses = [reply.status for reply in client.replies]
                    found[case.name] = Ending(statuses, client.end, time.monotonic() - since_s)
    ward.check_bystanders(began_ns)
    return found


@pytest.mark.parametrize("case", SLOW, ids=[case.name for case in SLOW])
def test_whoever_does_not_end(endings: dict[str, Ending], case: Slow) -> None:
    assert case.name in endings, "the server has not closed"
    statuses, end, lasted_s = endings[case.name]
    assert (statuses, end) == (case.statuses, CLOSED)
    assert 0.9 * LIMIT_S < lasted_s < LIMIT_S + SLACK_S
