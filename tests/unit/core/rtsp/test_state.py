"""RFC 2326 Appendix A.2: every method in every state, against a table written again from the RFC."""

import pytest
from camfleet.core.rtsp.state import (
    METHODS,
    PUBLISHING_METHODS,
    RECORDING_TRANSITIONS,
    STATELESS,
    TRANSITIONS,
    State,
    Transitions,
    legal_methods,
)

from tests.kit.publishing import DESCRIPTION, RECORD_TCP
from tests.kit.rtsp import TCP, URL, Client, connection

WATCHING = (State.INIT, State.READY, State.PLAYING)
# method: state after it, from INIT, READY, PLAYING; None: 455
EXPECTED = {
    "OPTIONS": ("init", "ready", "playing"),
    "DESCRIBE": ("init", "ready", "playing"),
    "GET_PARAMETER": ("init", "ready", "playing"),
    "SET_PARAMETER": ("init", "ready", "playing"),
    "SETUP": ("ready", "ready", None),
    "PLAY": (None, "playing", "playing"),
    "PAUSE": (None, None, "ready"),
    "TEARDOWN": ("init", "init", "init"),
}
PUBLISHING = (State.INIT, State.READY, State.RECORDING)
# The same from INIT, READY, RECORDING of a client that has announced.
EXPECTED_OF_PUBLISHER = {
    "OPTIONS": ("init", "ready", "recording"),
    "DESCRIBE": ("init", "ready", "recording"),
    "GET_PARAMETER": ("init", "ready", "recording"),
    "SET_PARAMETER": ("init", "ready", "recording"),
    "ANNOUNCE": ("init", None, None),
    "SETUP": ("ready", "ready", None),
    "PLAY": (None, None, None),
    "RECORD": (None, "recording", "recording"),
    "PAUSE": (None, None, "ready"),
    "TEARDOWN": ("init", "init", "init"),
}


def in_state(state: State) -> Client:
    client = Client(connection())
    client.authorization("DESCRIBE")
    if state is not State.INIT:
        client.ask("SETUP", URL, f"Transport: {TCP}")
    if state is State.PLAYING:
        client.ask("PLAY")
    assert client.server.state == state
    return client


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("state", WATCHING)
def test_legality(state: State, method: str) -> None:
    client = in_state(state)
    after = EXPECTED[method][WATCHING.index(state)]
    reply = client.ask(method, URL, f"Transport: {TCP}")
    assert reply.status == (455 if after is None else 200)
    assert client.server.state == (state if after is None else after)
    assert (method in legal_methods(state)) is (after is not None)
    if after is None:
        assert set(reply.headers["allow"].split(", ")) == {
            name for name, states in EXPECTED.items() if states[WATCHING.index(state)]
        }


def publisher_in(state: State) -> Client:
    client = Client(connection(is_published=lambda stream: stream == "stream1"))
    assert client.ask("ANNOUNCE", URL, "Content-Type: application/sdp", body=DESCRIPTION).status == 200
    if state is not State.INIT:
        assert client.ask("SETUP", f"{URL}/streamid=0", f"Transport: {RECORD_TCP}").status == 200
    if state is State.RECORDING:
        assert client.ask("RECORD").status == 200
    assert client.server.state == state
    return client


@pytest.mark.parametrize("method", [*METHODS, *PUBLISHING_METHODS])
@pytest.mark.parametrize("state", PUBLISHING)
def test_legality_for_a_publisher(state: State, method: str) -> None:
    client = publisher_in(state)
    after = EXPECTED_OF_PUBLISHER[method][PUBLISHING.index(state)]
    body = DESCRIPTION if method == "ANNOUNCE" else b""
    reply = client.ask(method, URL, f"Transport: {RECORD_TCP}", body=body)
    assert reply.status == (455 if after is None else 200)
    assert client.server.state == (state if after is None else after)
    if after is None:
        assert set(reply.headers["allow"].split(", ")) == {
            name for name, states in EXPECTED_OF_PUBLISHER.items() if states[PUBLISHING.index(state)]
        }


def test_without_an_announce_nothing_is_recorded() -> None:
    client = Client(connection(is_published=lambda _: True))
    client.ask("SETUP", URL, f"Transport: {TCP}")
    reply = client.ask("RECORD")
    assert reply.status == 455
    assert client.ask("ANNOUNCE", URL, body=DESCRIPTION).status == 455
    assert "PLAY" in reply.headers["allow"]


@pytest.mark.parametrize(
    ("expected", "states", "table", "methods"),
    [
        (EXPECTED, WATCHING, TRANSITIONS, METHODS),
        (EXPECTED_OF_PUBLISHER, PUBLISHING, RECORDING_TRANSITIONS, (*STATELESS, *RECORDING_TRANSITIONS, "PLAY")),
    ],
)
def test_the_table_is_whole(
    expected: dict[str, tuple[str | None, ...]],
    states: tuple[State, ...],
    table: Transitions,
    methods: tuple[str, ...],
) -> None:
    assert set(methods) == set(expected)
    assert all(
        expected[method][states.index(state)] == following
        for method, changes in table.items()
        for state, following in changes.items()
    )
