"""GnuTLS, the system's OpenSSL and tlslite-ng through the hand-off and back, with KeyUpdates anywhere between."""

from collections.abc import Callable

import pytest

from tests.kit.journey import NOBODY, ROUND_TRIP, Ask, Conversation, picture
from tests.kit.server import Server
from tests.kit.tls_wires import FLAVOURS, FLAVOURS_1_3, Flavour, GnuTLS, SClient, TLSLite

Stack = Callable[[int, Flavour], GnuTLS | SClient | TLSLite]
STACKS = [GnuTLS, SClient, TLSLite]

HELLO = Ask("OPTIONS", NOBODY)
SESSION = (*picture("ipc1"), Ask("TEARDOWN", "ipc1"))
JOURNEYS = {
    "DESCRIBE, hand-back": (*SESSION, *picture("ipc2")),
    "OPTIONS, hand-back": (HELLO, HELLO, Ask("OPTIONS", "ipc1"), *picture("ipc2")),
    "SETUP, round": (*SESSION[1:], Ask("DESCRIBE", "ipc2"), *picture("ipc1")),
}
ASKING = [pytest.param(stack, True, id=f"{stack.__name__}-asking") for stack in STACKS]
TELLING = [pytest.param(stack, False, id=f"{stack.__name__}-telling") for stack in (SClient, TLSLite)]


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS.keys())
@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.name)
@pytest.mark.parametrize("stack", STACKS)
def test_hand_off_and_back(two_cameras: Server, stack: Stack, flavour: Flavour, journey: tuple[Ask, ...]) -> None:
    conversation = Conversation(two_cameras)
    with stack(two_cameras.rtsps_port, flavour) as wire:
        conversation.wire = wire
        conversation.travel(journey)
        conversation.end()


@pytest.mark.parametrize("position", range(len(ROUND_TRIP)))
@pytest.mark.parametrize(("stack", "asking"), ASKING + TELLING)
def test_key_update(two_cameras: Server, stack: Stack, asking: bool, position: int) -> None:
    """Before the request at `position`: this one and what comes after it has new keys, with `asking` in both ways."""
    conversation = Conversation(two_cameras)
    with stack(two_cameras.rtsps_port, FLAVOURS_1_3[position % len(FLAVOURS_1_3)]) as wire:
        conversation.wire = wire
        conversation.travel(ROUND_TRIP[:position])
        wire.update_key(request=asking)
        conversation.travel(ROUND_TRIP[position:])
        conversation.end()
