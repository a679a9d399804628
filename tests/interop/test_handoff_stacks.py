"""GnuTLS, the system's OpenSSL and tlslite-ng through the hand-off and back, with KeyUpdates anywhere between."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit.journey import NOBODY, ROUND_TRIP, TWO_CAMERAS, Ask, Conversation, picture
from tests.kit.server import Server
from tests.kit.tls_wires import FLAVOURS, FLAVOURS_1_3, Flavour, GnuTLS, InMemory, Reference, SClient, TLSLite, Wire
from tests.kit.wait import wait_for

STACKS: list[type[Wire]] = [GnuTLS, SClient, TLSLite]
ALL: list[type[Wire]] = [InMemory, Reference, *STACKS]

HELLO = Ask("OPTIONS", NOBODY)
SESSION = (*picture("ipc1"), Ask("TEARDOWN", "ipc1"))
JOURNEYS = {
    "DESCRIBE, hand-back": (*SESSION, *picture("ipc2")),
    "OPTIONS, hand-back": (HELLO, HELLO, Ask("OPTIONS", "ipc1"), *picture("ipc2")),
    "SETUP, round": (*SESSION[1:], Ask("DESCRIBE", "ipc2"), *picture("ipc1")),
}
ASKING = [pytest.param(stack, True, id=f"{stack.__name__}-asking") for stack in STACKS]
TELLING = [pytest.param(stack, False, id=f"{stack.__name__}-telling") for stack in (SClient, TLSLite)]

UPDATES = 5
CLIENT_UPDATES = 3  # twice that is still below what is called a flood


@pytest.fixture
def updating_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its keys are worn after two records."""
    settings = "[tls]\nkey_update_records = 2\nkey_update_spacing_s = 0.2\n"
    with Server(tmp_path_factory.mktemp("updating"), (), tail=TWO_CAMERAS + settings) as running:
        yield running


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS.keys())
@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.name)
@pytest.mark.parametrize("stack", STACKS)
def test_hand_off_and_back(two_cameras: Server, stack: type[Wire], flavour: Flavour, journey: tuple[Ask, ...]) -> None:
    conversation = Conversation(two_cameras)
    with stack(two_cameras.rtsps_port, flavour) as wire:
        conversation.wire = wire
        conversation.travel(journey)
        conversation.end()


@pytest.mark.parametrize("position", range(len(ROUND_TRIP)))
@pytest.mark.parametrize(("stack", "asking"), ASKING + TELLING)
def test_key_update(two_cameras: Server, stack: type[Wire], asking: bool, position: int) -> None:
    """Before the request at `position`: this one and what comes after it has new keys, with `asking` in both ways."""
    conversation = Conversation(two_cameras)
    with stack(two_cameras.rtsps_port, FLAVOURS_1_3[position % len(FLAVOURS_1_3)]) as wire:
        conversation.wire = wire
        conversation.travel(ROUND_TRIP[:position])
        wire.update_key(request=asking)
        conversation.travel(ROUND_TRIP[position:])
        conversation.end()


def test_key_updates_of_the_server_and_of_the_clients_at_once(updating_server: Server) -> None:
    """All stacks play at the same time, each with new keys every 0.2 s, before a hand-back and behind it."""
    conversations = []
    with ExitStack() as stack:
        for connect in ALL:
            for flavour in FLAVOURS_1_3:
                conversations.append(Conversation(updating_server))
                conversations[-1].wire = stack.enter_context(connect(updating_server.rtsps_port, flavour))
        for camera in ("ipc1", "ipc2"):
            for conversation in conversations:
                conversation.travel(picture(camera))
            for _ in range(CLIENT_UPDATES):
                for conversation in conversations:
                    if isinstance(conversation.wire, Reference | TLSLite):
                        conversation.wire.update_key(request=False)
                    conversation.watch(20)

            def all_have_new_keys(camera: str = camera) -> bool:
                for conversation in conversations:
                    conversation.watch(20)
                readers = updating_server.camera(camera)["readers"]
                return len(readers) == len(conversations) and all(each["key_updates"] > UPDATES for each in readers)

            wait_for(all_have_new_keys, 20)
            for conversation in conversations:
                conversation.travel([Ask("TEARDOWN", camera)])
        for conversation in conversations:
            conversation.end()
            if isinstance(conversation.wire, Reference):
                assert conversation.wire.tls.key_updates > 2 * UPDATES
