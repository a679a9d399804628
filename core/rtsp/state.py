"""Which method is legal in which state of a session: RFC 2326 Appendix A.2, less what changes a running session.

    method        INIT     READY    PLAYING  RECORDING
    ANNOUNCE      INIT     455               455       makes of the next session one that records
    SETUP         READY    READY    455      455       the RFC lets it change the transport of a playing stream
    PLAY          455      PLAYING  PLAYING            not in a session that records
    RECORD        455      RECORDING         RECORDING only there
    PAUSE         455      455      READY    READY
    TEARDOWN      INIT     INIT     INIT     INIT      and forgets what was announced
    all others    no change

A session belongs to one connection, one user and one camera, and ends with its connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from .parameters import NO_PARAMETERS, Parameters


class State(StrEnum):
    INIT = "init"
    READY = "ready"
    PLAYING = "playing"
    RECORDING = "recording"


Transitions = Mapping[str, Mapping[State, State]]

TRANSITIONS: Transitions = {
    "SETUP": {State.INIT: State.READY, State.READY: State.READY},
    "PLAY": {State.READY: State.PLAYING, State.PLAYING: State.PLAYING},
    "PAUSE": {State.PLAYING: State.READY},
    "TEARDOWN": {State.INIT: State.INIT, State.READY: State.INIT, State.PLAYING: State.INIT},
}
ANNOUNCING: Transitions = {"ANNOUNCE": {State.INIT: State.INIT}}
# After an ANNOUNCE.
RECORDING_TRANSITIONS: Transitions = {
    **ANNOUNCING,
    "SETUP": TRANSITIONS["SETUP"],
    "RECORD": {State.READY: State.RECORDING, State.RECORDING: State.RECORDING},
    "PAUSE": {State.RECORDING: State.READY},
    "TEARDOWN": {State.INIT: State.INIT, State.READY: State.INIT, State.RECORDING: State.INIT},
}
NO_CHANNELS: Mapping[int, tuple[int, int]] = MappingProxyType({})
STATELESS = ("OPTIONS", "DESCRIBE", "GET_PARAMETER", "SET_PARAMETER")
METHODS = (*STATELESS, *TRANSITIONS)
PUBLISHING_METHODS = ("ANNOUNCE", "RECORD")  # of cameras with a stream that clients publish
# Of the RFC, but for no resource of ours: 405 instead of 501.
FOREIGN_METHODS = ("REDIRECT",)


def transitions(*, publishes: bool, announced: bool) -> Transitions:
    """`publishes`: clients may publish here; `announced`: this one has begun to."""
    if announced:
        return RECORDING_TRANSITIONS
    return {**ANNOUNCING, **TRANSITIONS} if publishes else TRANSITIONS


def legal_methods(state: State, table: Transitions = TRANSITIONS) -> tuple[str, ...]:
    return (*STATELESS, *(method for method, following in table.items() if state in following))


@dataclass(slots=True)
class Session:
    """From the accepted SETUP to TEARDOWN."""

    id: str
    user: str
    stream: str
    url: str  # of the SETUP, for RTP-Info
    state: State = State.READY
    range: str = ""  # of the last answered PLAY
    parameters: Parameters = NO_PARAMETERS  # of the SETUP
    # Of the announced media that are set up.
    channels: Mapping[int, tuple[int, int]] = field(default_factory=lambda: NO_CHANNELS)
