"""Clients that publish, with a fake engine, fake pipelines and virtual time."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from camfleet.core.net.fanout import Closed
from camfleet.core.net.inlet import Inlet
from camfleet.core.wire import Publish, Source, StreamSpec, TestLive
from camfleet.workers.sources.publish import publishing_point

from tests.kit.descriptors import none_left
from tests.kit.live_camera import Camera, Client, reply, request, session_of, statuses
from tests.kit.publishing import DESCRIPTION, RECORD_TCP
from tests.kit.rtsp import user
from tests.kit.supervisor import readers_of
from tests.unit.workers.test_session_move import Move, arrived

URL = "rtsps://192.0.2.7:8322/ipc1-stream1/publish"
ENCODER, BOTH = "encoder:third", "viewer:secret"
SOURCE = Publish(user="encoder", stream="stream1")
STREAMS = (StreamSpec(id="stream1", source=SOURCE), StreamSpec(id="stream2", source=Publish(user="viewer")))


@pytest.fixture
def camera() -> Iterator[Camera]:
    """Its first stream has a publisher of its own, its second one of all users."""
    made = Camera()
    made.now_ns = 10**18  # inlets read the real clock, and are silent if anybody asks
    made.configure(streams=STREAMS, publishers=(user("encoder", "third", watches=False),))
    yield made
    assert publishing_point(SOURCE).current is None or made.engine.alive_ns


def now_ns() -> int:
    return 0  # long before any inlet was made: nobody is silent yet


def announce(client: Client, login: str = ENCODER, url: str = URL) -> list[tuple[Any, ...]]:
    head = request("ANNOUNCE", url, f"Content-Length: {len(DESCRIPTION)}", login=login)
    return client.send(head + DESCRIPTION)


def set_up(client: Client, login: str = ENCODER, url: str = URL) -> None:
    assert statuses(announce(client, login, url)) == [200]
    answer = client.ask("SETUP", f"{url}/streamid=0", f"Transport: {RECORD_TCP}", login=login)
    client.session = session_of(answer)


def record(camera: Camera, handoff: int = 77) -> tuple[Client, Inlet]:
    client = camera.client(handoff=handoff)
    camera.engine.take()
    set_up(client)
    command, answer = client.ask("RECORD", URL, client.session, login=ENCODER)
    assert (command[:2], command[3:]) == (("record", client.id), (0, 1))
    assert statuses([answer]) == [200]
    inlet = command[2]
    assert isinstance(inlet, Inlet)
    return client, inlet


def end(camera: Camera, client: Client) -> None:
    camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    del camera.engine.alive_ns[client.id]


def test_a_recording_and_its_end(camera: Camera) -> None:
    client, inlet = record(camera)
    publication = publishing_point(SOURCE).current
    assert publication is not None
    assert publication.inlet is inlet
    assert publication.track.codec == "h264"
    assert camera.pipelines["stream1"].wanted == 1
    (shown,) = readers_of(camera.registry.stats(1, camera.now_ns))
    assert (shown.user, shown.state, shown.stream) == ("encoder", "recording", "stream1")
    commands = client.ask("TEARDOWN", URL, client.session, login=ENCODER)
    assert [command[0] for command in commands] == ["end", "send"]
    assert publishing_point(SOURCE).current is None
    assert camera.pipelines["stream1"].wanted == 0


def test_pause_gives_the_place_away_and_record_takes_it_again(camera: Camera) -> None:
    client, inlet = record(camera)
    assert [command[0] for command in client.ask("PAUSE", URL, client.session, login=ENCODER)] == ["pause", "send"]
    assert publishing_point(SOURCE).current is None
    command, _ = client.ask("RECORD", URL, client.session, login=ENCODER)
    assert command[2] is not inlet
    assert publishing_point(SOURCE).current is not None
    end(camera, client)


def test_a_connection_that_breaks_ends_it(camera: Camera) -> None:
    client, _ = record(camera)
    end(camera, client)
    assert publishing_point(SOURCE).current is None
    assert camera.pipelines["stream1"].wanted == 0


def test_media_among_requests_reaches_the_inlet_but_for_other_channels(camera: Camera) -> None:
    client, inlet = record(camera)
    client.send(b"$\0\0\3rtp$\4\0\5sound$\1\0\4rtcp")
    assert inlet.take() == b"$\0\0\3rtp$\1\0\4rtcp"
    end(camera, client)


@pytest.mark.parametrize(
    ("login", "url", "status"),
    [
        (BOTH, URL, 403),  # he may watch this stream, and publish the other
        (ENCODER, URL.replace("stream1", "stream2"), 403),
        ("encoder:wrong", URL, 401),
        (BOTH, URL.replace("stream1", "stream2"), 200),
    ],
)
def test_who_may_announce(camera: Camera, login: str, url: str, status: int) -> None:
    assert statuses(announce(camera.client(), login, url))[-1:] == [status]


def test_a_second_publisher_is_refused_at_once_and_at_record(camera: Camera) -> None:
    camera.now_ns = now_ns()
    late = camera.client(handoff=1)
    set_up(late)
    client, _ = record(camera)
    refused = announce(camera.client(handoff=2))
    assert "503 Service Unavailable: somebody publishes here already" in reply(refused[-1:])
    assert "Retry-After: 2" in reply(refused[-1:])
    assert statuses(late.ask("RECORD", URL, late.session, login=ENCODER)) == [503]
    end(camera, client)
    assert statuses(late.ask("RECORD", URL, late.session, login=ENCODER)) == [200]
    end(camera, late)


def test_who_finds_no_descriptors_left_is_told(camera: Camera) -> None:
    client = camera.client()
    with none_left():
        assert "503 Service Unavailable: no descriptors left (ulimit -n)" in reply(announce(client)[-1:])
    set_up(client)
    waiting = publishing_point(SOURCE)  # the stream has what it needs, but there is none for an inlet
    with none_left():
        assert statuses(client.ask("RECORD", URL, client.session, login=ENCODER)) == [503]
    assert waiting.current is None
    assert statuses(client.ask("RECORD", URL, client.session, login=ENCODER)) == [200]
    end(camera, client)


def test_who_is_silent_gives_way(camera: Camera) -> None:
    first, _ = record(camera)
    second = camera.client(handoff=2)
    set_up(second)
    commands = second.ask("RECORD", URL, second.session, login=ENCODER)
    assert commands[0] == ("close", first.id)
    end(camera, first)
    current = publishing_point(SOURCE).current
    assert current is not None
    assert current.inlet is commands[1][2]
    assert camera.pipelines["stream1"].wanted == 1
    end(camera, second)


def test_readers_do_not_keep_a_publisher_out() -> None:
    camera = Camera(max_sessions=1)
    camera.now_ns = 10**18
    camera.configure(streams=STREAMS, publishers=(user("encoder", "third", watches=False),))
    reader = camera.client(handoff=1)
    reader.set_up()
    client, _ = record(camera)
    end(camera, client)
    assert statuses(camera.client(handoff=3).set_up()) == [453]
    end(camera, reader)
    assert statuses(camera.client(handoff=4).set_up()) == [200]


@pytest.mark.parametrize(
    "changes",
    [
        {"publishers": (user("encoder", "new", watches=False),)},
        {"streams": (StreamSpec(id="stream1", source=TestLive()), STREAMS[1])},
        {"streams": STREAMS[1:]},
        {"streams": (StreamSpec(id="stream1", source=Publish(user="viewer", stream="stream1")), STREAMS[1])},
    ],
)
def test_settings_that_take_the_right_away_end_it(camera: Camera, changes: dict[str, Any]) -> None:
    client, _ = record(camera)
    assert ("close", client.id) in [command[:2] for command in camera.configure(**changes)]
    end(camera, client)


def test_settings_that_do_not_concern_it_leave_it_alone(camera: Camera) -> None:
    client, _ = record(camera)
    assert camera.configure(name="Hall", streams=(*STREAMS, StreamSpec(id="more", source=TestLive()))) == []
    end(camera, client)


def test_at_another_worker_the_recording_goes_on(camera: Camera) -> None:
    client, first = record(camera)
    moved = Move(camera).leave()
    assert publishing_point(SOURCE).current is None
    new = Camera()
    new.now_ns = camera.now_ns
    new.configure(streams=STREAMS, publishers=camera.order.camera.publishers)
    commands = moved.arrive(new)
    adopt, command = commands
    assert command[0] == "record"
    assert command[3:] == (0, 1)
    # Nothing that comes before the engine has the inlet may be dropped: it is text until Python stands at a boundary.
    assert adopt[5] is True
    assert new.engine.parsed[adopt[1]] == (0, True)
    current = publishing_point(SOURCE).current
    assert current is not None
    assert current.inlet is command[2] is not first
    assert len(current.track.parameter_sets) == 2
    assert new.pipelines["stream1"].wanted == 1
    other = arrived(client, new)
    other.send(b"$\0\0\3rtp")
    assert current.inlet.take() == b"$\0\0\3rtp"
    assert statuses(other.ask("TEARDOWN", URL, other.session, login=ENCODER)) == [200]
    assert new.pipelines["stream1"].wanted == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Publish(user="viewer", stream="stream1"), "this user may not publish here"),
        (TestLive(), "the stream has another source now"),
    ],
)
def test_at_a_worker_with_other_settings_the_recording_ends_in_order(
    camera: Camera, caplog: pytest.LogCaptureFixture, source: Source, reason: str
) -> None:
    record(camera)
    new = Camera()
    new.now_ns = camera.now_ns
    new.configure(
        streams=(StreamSpec(id="stream1", source=source), STREAMS[1]), publishers=camera.order.camera.publishers
    )
    adopt, close = Move(camera).leave().arrive(new)
    assert close == ("close", adopt[1], b"")
    (line,) = [line for line in caplog.records if line.levelname != "INFO"]
    assert line.getMessage() == "refused"
    fields = getattr(line, "fields", {})
    assert (fields["user"], fields["stream"], fields["reason"]) == ("encoder", "stream1", reason)
    assert publishing_point(SOURCE).current is None


def test_between_setup_and_record_a_client_moves_too(camera: Camera) -> None:
    client = camera.client()
    set_up(client)
    new = Camera()
    new.now_ns = camera.now_ns
    new.configure(streams=STREAMS, publishers=camera.order.camera.publishers)
    Move(camera).leave().arrive(new)
    other = arrived(client, new)
    commands = other.ask("RECORD", URL, other.session, login=ENCODER)
    assert [command[0] for command in commands] == ["record", "send"]
    assert re.search(r"Session: \w+", reply(commands[1:]))
    end(new, other)
