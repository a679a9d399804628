"""Which method is legal in which state of a session: RFC 2326 Appendix A.2, without RECORD.

    method        INIT     READY    PLAYING
    SETUP         READY    READY    455       the RFC lets it change the transport of a playing stream; we do not
    PLAY          455      PLAYING  PLAYING
    PAUSE         455      455      READY
    TEARDOWN      INIT     INIT     INIT
    all others    no change

A session belongs to one connection, one user and one camera, and ends with its connection.
"""

from dataclasses import dataclass
from enum import StrEnum

from .parameters import NO_PARAMETERS, Parameters


class State(StrEnum):
    INIT = "init"
    READY = "ready"
    PLAYING = "playing"


TRANSITIONS = {
    "SETUP": {State.INIT: State.READY, State.READY: State.READY},
    "PLAY": {State.READY: State.PLAYING, State.PLAYING: State.PLAYING},
    "PAUSE": {State.PLAYING: State.READY},
    "TEARDOWN": {State.INIT: State.INIT, State.READY: State.INIT, State.PLAYING: State.INIT},
}
STATELESS = ("OPTIONS", "DESCRIBE", "GET_PARAMETER", "SET_PARAMETER")
METHODS = (*STATELESS, *TRANSITIONS)
# Methods of the RFC that exist, but for no resource of ours: 405 instead of 501.
FOREIGN_METHODS = ("ANNOUNCE", "RECORD", "REDIRECT")


def legal_methods(state: State) -> tuple[str, ...]:
    return (*STATELESS, *(method for method, following in TRANSITIONS.items() if state in following))


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
