"""A connection as a value, so that another process can go on with its next byte; ServerConnection is open here."""

from camfleet.core.wire.succession import RTSPState, SessionState

from .announcement import Announcement
from .connection import ServerConnection, _Pending
from .conversation import Question
from .events import Event
from .message import Request
from .parameters import Parameters
from .reader import Reader
from .state import Session, State

_OF_THE_BODY = ("content-length", "transfer-encoding")


def export_connection(connection: ServerConnection) -> RTSPState:
    """What it knows; replies have been taken from it. It must not be used any more."""
    pending, talk = connection._pending, connection._talk
    announced = talk.announced
    return RTSPState(
        start_ns=connection._start_ns,
        alive_ns=connection._alive_ns,
        incomplete_since_ns=connection._incomplete_since_ns,
        greeted=connection._greeted,
        closing=connection._closing,
        user=connection.user,
        nonce=connection._login.nonce,
        session=None if talk.session is None else _export_session(talk.session),
        described=(talk.described[0], str(talk.described[1])),
        announced=(announced.stream, announced.url, announced.description) if announced else ("", "", b""),
        pending=_as_bytes(pending.request) if pending else b"",
        pending_stream=pending.stream if pending else "",
        received=connection._reader.leftover,
    )


def restore_connection(connection: ServerConnection, state: RTSPState) -> Event | None:
    """Make a new connection what the other one was; returns the event that still waits for its answer.

    Raises RemoteProtocolError, RefusalError or ValueError when the state is not one that `export_connection` makes.
    """
    connection._start_ns, connection._alive_ns = state.start_ns, state.alive_ns
    connection._incomplete_since_ns, connection._greeted = state.incomplete_since_ns, state.greeted
    connection._closing = state.closing
    connection._login.restore(state.user, state.nonce)
    session = state.session
    if session is not None:
        running = State.RECORDING if session.recording else State.PLAYING if session.playing else State.READY
        connection._talk.session = Session(
            session.id,
            session.user,
            session.stream,
            session.url,
            running,
            session.range,
            Parameters.parse(session.parameters),
            session.channels,
        )
    connection._talk.described = state.described[0], Parameters.parse(state.described[1])
    if state.announced[0]:
        connection._talk.announced = Announcement.read(*state.announced)
    if state.pending:
        connection._pending = _restore_pending(connection, state)
    connection._reader.receive_data(state.received)
    return connection._pending.event if connection._pending else None


def _export_session(session: Session) -> SessionState:
    return SessionState(
        id=session.id,
        user=session.user,
        stream=session.stream,
        url=session.url,
        playing=session.state is State.PLAYING,
        range=session.range,
        parameters=str(session.parameters),
        recording=session.state is State.RECORDING,
        channels=dict(session.channels),
    )


def _restore_pending(connection: ServerConnection, state: RTSPState) -> _Pending | None:
    """The request has been checked already, its digest too, which would be a replay now."""
    reader = Reader()
    reader.receive_data(state.pending)
    request = reader.next_message()
    path = connection._talk.path(request.url) if isinstance(request, Request) else None
    if not isinstance(request, Request) or path is None:
        return None
    event = connection._talk.question(request, path, state.pending_stream)
    return _Pending(event, request, path, state.pending_stream) if isinstance(event, Question) else None


def _as_bytes(request: Request) -> bytes:
    """Without its body, of which nothing is needed for an answer."""
    fields = (f"{name}: {value}\r\n" for name, value in request.headers.fields() if name not in _OF_THE_BODY)
    return f"{request.method} {request.url} RTSP/1.0\r\n{''.join(fields)}\r\n".encode("latin-1")
