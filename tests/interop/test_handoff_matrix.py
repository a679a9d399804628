"""Every way to arrive at a camera, and to go on to another one, in every suite and cut into records in every way.

The supervisor answers what names no camera; at the first request that names one, the connection changes hands with its
TLS session, and again at the first one that names the other camera. Whatever is behind that request comes along.
"""

from contextlib import ExitStack

import pytest

from tests.kit.journey import (
    NOBODY,
    Ask,
    Conversation,
    Packing,
    across_records,
    in_one_record,
    in_one_segment,
    in_records_of_one_byte,
    one_by_one,
    picture,
)
from tests.kit.server import Server
from tests.kit.tls_client import BundledClient
from tests.kit.tls_wires import FLAVOURS, Flavour, InMemory, ticket

PICTURE = picture("ipc1")
ENDED = (*PICTURE, Ask("TEARDOWN", "ipc1"))
HELLO = Ask("OPTIONS", NOBODY)

ARRIVALS = {
    "OPTIONS": (Ask("OPTIONS", "ipc1"), *PICTURE),
    "DESCRIBE": PICTURE,
    "SETUP": PICTURE[1:],
    "PLAY": (Ask("PLAY", "ipc1", 455), *PICTURE),
    "TEARDOWN": (Ask("TEARDOWN", "ipc1"), *PICTURE),
    "GET_PARAMETER": (Ask("GET_PARAMETER", "ipc1"), *PICTURE),
}
HAND_OFFS = {
    f"{hellos} OPTIONS, {name}": (*[HELLO] * hellos, *asks) for name, asks in ARRIVALS.items() for hellos in (0, 2)
}
# What the worker of ipc1 has answered when ipc2 is asked for: each request of a session, and its end.
STAYS = {
    "OPTIONS": (Ask("OPTIONS", "ipc1"),),
    "DESCRIBE": PICTURE[:1],
    "TEARDOWN": ENDED,
}
LEAVES = {
    "DESCRIBE": picture("ipc2"),
    "SETUP": picture("ipc2")[1:],
    "PLAY": (Ask("PLAY", "ipc2", 455), *picture("ipc2")),
    "GET_PARAMETER": (Ask("GET_PARAMETER", "ipc2"), *picture("ipc2")),
}
HAND_BACKS = {
    f"{stay} of ipc1, {leave} of ipc2": (*asks, *going)
    for stay, asks in STAYS.items()
    for leave, going in LEAVES.items()
} | {
    # A session must be torn down first (RFC 2326 has no word for a connection with two): refused, and it goes on.
    "ready at ipc1, DESCRIBE of ipc2": (*PICTURE[:2], Ask("DESCRIBE", "ipc2", 455), PICTURE[2]),
    "playing ipc1, SETUP of ipc2": (*PICTURE, Ask("SETUP", "ipc2", 455), Ask("TEARDOWN", "ipc1"), *picture("ipc2")),
    "OPTIONS of ipc2 asked at ipc1": (PICTURE[0], Ask("OPTIONS", "ipc2"), *PICTURE[1:]),
    "round and round": (*ENDED, Ask("DESCRIBE", "ipc2"), Ask("DESCRIBE", "ipc1"), *picture("ipc2")),
    "by way of no camera": (
        Ask("DESCRIBE", "nowhere", 404),
        PICTURE[0],
        Ask("DESCRIBE", "nowhere", 404),
        HELLO,
        *picture("ipc2"),
    ),
}
JOURNEYS = HAND_OFFS | HAND_BACKS

FULL = 16_384

PACKINGS = [one_by_one, in_one_segment, in_one_record, across_records, in_records_of_one_byte]
# "joined": the first portion is in the segment of the client's Finished. In TLS 1.2 only resumption ends with that.
HANDSHAKES = ["full", "joined", "resumed"]
OPENSSL = [
    pytest.param(flavour, shake, id=f"{flavour.name}-{shake}")
    for flavour in FLAVOURS
    for shake in HANDSHAKES
    if flavour.is_1_3 or shake != "joined"
]


@pytest.fixture(scope="module")
def tickets(two_cameras: Server) -> dict[str, BundledClient]:
    """Of each flavour a client with a ticket."""
    hello = Conversation(two_cameras).encode(HELLO)
    return {flavour.name: ticket(two_cameras.rtsps_port, flavour, hello) for flavour in FLAVOURS}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("flavour", "shake"), OPENSSL)
@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS.keys())
def test_openssl(
    two_cameras: Server,
    tickets: dict[str, BundledClient],
    journey: tuple[Ask, ...],
    flavour: Flavour,
    shake: str,
    packing: Packing,
) -> None:
    conversation = Conversation(two_cameras)
    portions = packing([conversation.encode(ask) for ask in journey])
    first = [] if shake == "full" else portions[0].chunks
    resume = tickets[flavour.name] if shake == "resumed" else None
    with InMemory(two_cameras.rtsps_port, flavour, resume=resume, first=first) as wire:
        assert wire.client.resumed == (shake == "resumed")
        conversation.wire = wire
        conversation.follow(journey, portions, sent=len(first) > 0)
        conversation.end()


@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.name)
def test_full_records(two_cameras: Server, flavour: Flavour) -> None:
    """16 KiB each; the first one ends inside the request that names a camera, and all leave at once."""
    conversation = Conversation(two_cameras)
    asks = [HELLO]
    stream = conversation.encode(HELLO)
    while len(stream) < FULL - 100:
        asks.append(HELLO)
        stream += conversation.encode(HELLO)
    others = [Ask("OPTIONS", "ipc1")] * 120
    behind = [*PICTURE, *others, Ask("TEARDOWN", "ipc1"), *picture("ipc2")]
    stream += b"".join(conversation.encode(ask) for ask in behind)
    assert len(stream) > 2 * FULL
    with InMemory(two_cameras.rtsps_port, flavour) as wire:
        conversation.wire = wire
        wire.send(stream)
        for ask in [*asks, *behind]:
            conversation.expect(ask)
        conversation.watch()
        conversation.end()


def test_a_crowd_changes_hands_at_once(two_cameras: Server) -> None:
    """Each request of all of them before the first answer is read: 600 hand-offs, hand-backs, hand-offs."""
    crossings = [HELLO, Ask("OPTIONS", "ipc1"), Ask("DESCRIBE", "nowhere", 404), Ask("DESCRIBE", "ipc2"), PICTURE[0]]
    with ExitStack() as stack:
        crowd = []
        for flavour in FLAVOURS * 100:
            wire = stack.enter_context(InMemory(two_cameras.rtsps_port, flavour))
            crowd.append((Conversation(two_cameras), wire))
            crowd[-1][0].wire = wire
        for ask in crossings:
            for conversation, wire in crowd:
                wire.send(conversation.encode(ask))
            for conversation, _ in crowd:
                conversation.expect(ask)
        for conversation, _ in crowd:
            conversation.end()
