"""The clients of a camera at another worker, with fake engines and virtual time."""

import os
from typing import Any

import msgspec
import pytest
from camfleet.core.net.fanout import Closed, Moved, Received
from camfleet.core.wire.control import Ended, HandBack, LoggedIn
from camfleet.core.wire.succession import MovingClient, ReaderState, decode, encode

from tests.kit.live_camera import TRANSPORT, URL, Camera, Client, S, reply, request, session_of, statuses
from tests.kit.rtsp import user
from tests.kit.supervisor import readers_of

STATE = ReaderState(bytes_sent=5000, frames_sent=50, last_alive_ns=999 * S)
SEQUENCES = {"stream1": 4711, "stream2": 815}


class Move:
    """All clients of `old`, until they are told to arrive at a camera of the same settings."""

    def __init__(self, old: Camera) -> None:
        self.old = old
        self.clients: list[MovingClient] = []
        self.ended = 0
        self.began = old.registry.begin_move(self._moved)
        self.commands = old.engine.take()

    def _moved(self, client: MovingClient | None, descriptor: int) -> None:
        if client is None:
            self.ended += 1
            return
        assert descriptor == 7
        datagram = decode(encode(client))  # nothing is shared
        assert isinstance(datagram, MovingClient)
        self.clients.append(datagram)

    def leave(self) -> "Move":
        """What the engine says to each."""
        moving = [command[1] for command in self.commands if command[0] == "move"]
        events = [Moved(client, 7, b"exported", b"unread", b"unsent", STATE) for client in moving]
        self.old.registry.dispatch(events, self.old.now_ns)
        return self

    def arrive(self, new: Camera) -> list[tuple[Any, ...]]:
        """The commands to the other engine."""
        for client in self.clients:
            descriptor = os.open("/dev/null", os.O_RDONLY)
            os.close(descriptor)
            new.registry.resume(client, descriptor, SEQUENCES, new.now_ns)
        return new.engine.take()


def arrived(client: Client, new: Camera) -> Client:
    """The same client, at the other camera."""
    (number,) = new.engine.alive_ns
    other = Client(new, number)
    other.session = client.session
    return other


def names(commands: list[tuple[Any, ...]]) -> list[str]:
    return [command[0] for command in commands]


@pytest.fixture
def old() -> Camera:
    return Camera()


@pytest.fixture
def new() -> Camera:
    camera = Camera()
    camera.now_ns += 5 * S
    return camera


def test_a_playing_reader_goes_on_without_a_word(old: Camera, new: Camera) -> None:
    client = old.client()
    client.play()
    move = Move(old)
    assert (move.began, move.commands) == (1, [("move", client.id)])
    assert old.pipelines["stream1"].wanted == 1
    adopt, go_on = move.leave().arrive(new)
    assert adopt[3:] == (b"exported", b"unread", False, b"unsent", STATE)
    assert go_on == ("go_on", adopt[1], new.media["stream1"], 0, 1, 4711)
    assert (old.pipelines["stream1"].wanted, new.pipelines["stream1"].wanted) == (0, 1)
    assert (len(old.registry), len(new.registry)) == (0, 1)
    assert not any(isinstance(news, Ended) for news in old.news)  # it has not ended
    assert new.registry.knows(77)
    assert new.registry.connections() == [move.clients[0].connection]


def test_its_session_is_the_same(old: Camera, new: Camera) -> None:
    client = old.client()
    client.play()
    Move(old).leave().arrive(new)
    client = arrived(client, new)
    kept = client.ask("GET_PARAMETER", URL, client.session, login="")
    assert statuses(kept) == [200]
    assert session_of(kept) == client.session
    assert names(client.ask("PAUSE", URL, client.session)) == ["pause", "send"]
    assert new.pipelines["stream1"].wanted == 0
    assert statuses(client.ask("TEARDOWN", URL, client.session)) == [200]
    assert statuses(client.ask("GET_PARAMETER", URL, client.session)) == [454]


@pytest.mark.parametrize("state", ["connected", "ready", "paused"])
def test_who_does_not_play_does_not_begin_to(old: Camera, new: Camera, state: str) -> None:
    client = old.client()
    if state == "connected":
        client.ask("DESCRIBE")
    elif state == "ready":
        client.set_up()
    else:
        client.play()
        client.ask("PAUSE", URL, client.session)
    old.engine.take()
    assert names(Move(old).leave().arrive(new)) == ["adopt"]
    assert all(pipeline.wanted == 0 for pipeline in new.pipelines.values())
    client = arrived(client, new)
    if state != "connected":
        stats = readers_of(new.registry.stats(1, new.now_ns))
        assert [reader.state for reader in stats] == [state]
        assert names(client.ask("PLAY", URL, client.session)) == ["prepare"]
        assert statuses(client.ready()) == [200]


def test_status_shows_the_same_reader(old: Camera, new: Camera) -> None:
    old.client().play()
    before = readers_of(old.registry.stats(1, new.now_ns))
    Move(old).leave().arrive(new)
    assert readers_of(new.registry.stats(1, new.now_ns)) == before


def test_requests_that_come_while_it_moves_are_answered_there(old: Camera, new: Camera) -> None:
    """Behind a part of one that was there before."""
    client = old.client()
    client.play()
    whole = request("OPTIONS", "*", cseq=9)
    client.send(whole[:10])
    move = Move(old)
    assert client.send(whole[10:] + whole[:4]) == []
    commands = move.leave().arrive(new)
    assert names(commands) == ["adopt", "go_on", "send"]
    assert commands[0][5], "what the engine reads next is text"
    assert "CSeq: 9" in reply(commands)
    assert statuses(arrived(client, new).send(whole[4:])) == [200]


@pytest.mark.parametrize("known", [True, False])
def test_a_describe_that_waits_is_answered_there(old: Camera, new: Camera, known: bool) -> None:
    old.pipelines["stream1"].description = None
    if not known:
        description, new.pipelines["stream1"].description = new.pipelines["stream1"].description, None
    client = old.client()
    assert statuses(client.ask("DESCRIBE")) == []
    assert old.pipelines["stream1"].wanted == 1
    commands = Move(old).leave().arrive(new)
    assert (old.pipelines["stream1"].wanted, new.pipelines["stream1"].wanted) == (0, 0 if known else 1)
    if not known:
        assert statuses(commands) == []
        new.pipelines["stream1"].description = description
        new.registry.stream_changed(new.now_ns)
        commands += new.engine.take()
    assert statuses(commands) == [200]


def test_a_play_that_waits_is_prepared_there(old: Camera, new: Camera) -> None:
    client = old.client()
    client.set_up()
    client.ask("PLAY", URL, client.session)
    move = Move(old)
    assert client.ready() == []  # too late
    assert names(move.leave().arrive(new)) == ["adopt", "prepare"]
    client = arrived(client, new)
    assert statuses(client.ready(sequence=4712)) == [200]
    assert readers_of(new.registry.stats(1, new.now_ns))[0].state == "playing"


def test_a_request_that_waits_for_a_stream_which_is_no_more_is_not_found(old: Camera, new: Camera) -> None:
    old.pipelines["stream1"].description = None
    old.client().ask("DESCRIBE")
    move = Move(old).leave()
    (client,) = move.clients
    move.clients = [msgspec.structs.replace(client, rtsp=msgspec.structs.replace(client.rtsp, pending_stream="gone"))]
    assert statuses(move.arrive(new)) == [404]


def test_time_outs_go_on(old: Camera, new: Camera) -> None:
    """60 s and 10 s of grace since the client was last heard of, wherever."""
    client = old.client()
    client.set_up()
    move = Move(old)
    old.now_ns += 100 * S
    old.registry.tick(old.now_ns)  # whoever moves is not judged
    assert old.engine.take() == []
    move.leave().arrive(new)
    (number,) = new.engine.alive_ns
    new.now_ns = 1069 * S
    new.registry.tick(new.now_ns)
    assert new.engine.take() == []
    new.now_ns = 1071 * S
    new.registry.tick(new.now_ns)
    assert new.engine.take() == [("close", number, b"")]


def test_a_login_is_no_news_again(old: Camera, new: Camera) -> None:
    client = old.client()
    client.ask("DESCRIBE")
    Move(old).leave().arrive(new)
    arrived(client, new).ask("DESCRIBE")
    assert LoggedIn(handoff=77) not in new.news  # Hello has said it


def test_who_ends_meanwhile_is_no_loss(old: Camera) -> None:
    client = old.client()
    client.play()
    move = Move(old)
    old.registry.dispatch([Closed(client.id, "closed by the peer", "", 0, 0, 0)], old.now_ns)
    assert (move.began, move.ended, move.clients) == (1, 1, [])
    assert isinstance(old.news[-1], Ended)


def test_who_is_leaving_already_stays_until_he_has(old: Camera) -> None:
    """One that is given back for another camera, one that is closed."""
    back = old.client(handoff=1)
    back.ask("DESCRIBE")
    back.ask("DESCRIBE", URL.replace("ipc1", "ipc2"))
    closed = old.client(handoff=2)
    closed.send(b"\0\0\0\0 / RTSP/1.0 \r\n\r\n" + bytes(20_000))
    old.engine.take()
    assert Move(old).began == 0
    assert len(old.registry) == 2
    assert not any(isinstance(message, HandBack) for message in old.news)


def test_who_was_told_of_a_stream_that_is_no_more_is_sent_away(old: Camera, new: Camera) -> None:
    """Settings have changed meanwhile."""
    main, sub, described = (old.client(handoff=handoff) for handoff in (1, 2, 3))
    main.set_up("stream1")
    sub.set_up("stream2")
    described.ask("DESCRIBE")
    new.configure(streams=new.order.camera.streams[1:])
    commands = Move(old).leave().arrive(new)
    assert names(commands) == ["adopt", "close", "adopt", "adopt", "close"]


def test_seats_go_along_and_the_limit_counts_for_those_who_come(old: Camera) -> None:
    for handoff in range(3):
        old.client(handoff=handoff).set_up()
    new = Camera(max_sessions=2)
    Move(old).leave().arrive(new)
    assert len(new.registry) == 3
    late = new.client(handoff=9)
    assert statuses(late.set_up()) == [453]
    for number in list(new.engine.alive_ns)[:2]:
        new.registry.dispatch([Closed(number, "closed by the peer", "", 0, 0, 0)], new.now_ns)
    assert statuses(late.set_up()) == [200]


def test_who_is_no_user_any_more_is_sent_away(old: Camera, new: Camera) -> None:
    old.client().play()
    new.configure(users=[user("other", "word")])
    commands = Move(old).leave().arrive(new)
    assert names(commands) == ["adopt", "close"]


def test_a_session_that_cannot_be_imported_ends(old: Camera, new: Camera) -> None:
    old.client().play()
    new.engine.adoptable = False
    read_end, write_end = os.pipe()
    (client,) = Move(old).leave().clients
    new.registry.resume(client, read_end, SEQUENCES, new.now_ns)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    assert new.news == [Ended(handoff=77, reason="the TLS session cannot be imported")]
    assert new.pipelines["stream1"].wanted == 0


def test_back_at_the_same_worker_nothing_has_been(old: Camera) -> None:
    """The successor has failed."""
    client = old.client()
    client.play()
    before = readers_of(old.registry.stats(1, old.now_ns))
    move = Move(old).leave()
    old.engine.alive_ns.clear()
    assert names(move.arrive(old)) == ["adopt", "go_on"]
    assert readers_of(old.registry.stats(1, old.now_ns)) == before
    again = arrived(client, old)
    assert statuses(again.ask("PAUSE", URL, client.session)) == [200]
    assert again.id != client.id
    old.registry.dispatch([Received(client.id, b"late")], old.now_ns)  # nobody's


def test_no_secret_is_shown(old: Camera) -> None:
    old.client().play()
    (client,) = Move(old).leave().clients
    assert "exported" not in repr(client)
    assert TRANSPORT not in repr(client)
