"""RFC 2326 Appendix A.2: every method in every state, against a table written again from the RFC."""

import pytest
from camfleet.core.rtsp.state import METHODS, TRANSITIONS, State, legal_methods

from tests.kit.rtsp import TCP, URL, Client, connection

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
@pytest.mark.parametrize("state", State)
def test_legality(state: State, method: str) -> None:
    client = in_state(state)
    after = EXPECTED[method][list(State).index(state)]
    reply = client.ask(method, URL, f"Transport: {TCP}")
    assert reply.status == (455 if after is None else 200)
    assert client.server.state == (state if after is None else after)
    assert (method in legal_methods(state)) is (after is not None)
    if after is None:
        assert set(reply.headers["allow"].split(", ")) == {
            name for name, states in EXPECTED.items() if states[list(State).index(state)]
        }


def test_the_table_is_whole() -> None:
    assert set(METHODS) == set(EXPECTED)
    assert all(
        EXPECTED[method][list(State).index(state)] == following
        for method, states in TRANSITIONS.items()
        for state, following in states.items()
    )
