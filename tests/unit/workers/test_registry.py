"""workers/session with a fake engine and virtual time: who comes, stays or is sent away, and what is told of them."""

import logging
import os

import pytest
from camfleet.core.net.fanout import Closed, Ready, Received, Released
from camfleet.core.wire import HandoffRecord, UserSpec
from camfleet.core.wire.control import (
    Adopted,
    Ended,
    HandBack,
    LoggedIn,
    LoginFailed,
    Refused,
    TLSInfo,
)
from camfleet.core.wire.handoff import HANDOFF_VERSION
from camfleet.workers.adopt import Handoff
from camfleet.workers.session.rtsp_session import RTSPSession

from tests.kit.live_camera import TLS, URL, Camera, S, reply, request, statuses
from tests.kit.rtsp import user
from tests.kit.supervisor import connection, readers_of

# ---------------------------------------------------------------- adoption


def test_the_request_that_named_the_camera_is_answered_first() -> None:
    camera = Camera()
    client = camera.client(received=request("DESCRIBE"))
    commands = camera.engine.take()
    assert [command[0] for command in commands] == ["adopt", "send"]
    assert commands[0][3:] == (b"exported", b"unread", True)
    assert statuses(commands) == [200]
    assert camera.news == [Adopted(handoff=77), LoggedIn(handoff=77)]
    assert camera.engine.parsed[client.id] == (0, True)  # it has delivered nothing yet, and we stand at a boundary


def test_a_connection_on_which_nothing_was_read_stands_at_a_boundary() -> None:
    camera = Camera()
    camera.client(received=b"")
    ((_, _, _, _, _, in_text),) = camera.engine.take()
    assert not in_text


def test_only_the_engines_bytes_are_counted_as_parsed() -> None:
    camera = Camera()
    whole = request("OPTIONS", "*")
    client = camera.client(received=whole[:20])
    assert camera.engine.parsed[client.id] == (0, False)
    assert statuses(client.send(whole[20:])) == [200]
    assert camera.engine.parsed[client.id] == (len(whole) - 20, True)
    client.send(whole + whole[:5])
    total, at_boundary = camera.engine.parsed[client.id]
    assert not at_boundary
    assert 2 * len(whole) - 20 <= total <= 2 * len(whole) - 20 + 5
    assert statuses(client.send(whole[5:])) == [200]
    assert camera.engine.parsed[client.id] == (3 * len(whole) - 20, True)


def test_a_session_that_cannot_be_imported_is_refused_and_its_descriptor_closed() -> None:
    camera = Camera()
    camera.engine.adoptable = False
    read_end, write_end = os.pipe()
    record = HandoffRecord(HANDOFF_VERSION, 5, b"bad")
    camera.registry.adopt(Handoff(connection(5), b"", record, read_end), camera.now_ns)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    assert camera.news == [Refused(handoff=5, reason="the TLS session cannot be imported")]
    assert not camera.registry.knows(5)


def test_a_closed_client_is_forgotten_and_reported() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    assert camera.registry.knows(77)
    camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 5000, 50, 0)], camera.now_ns)
    assert camera.news[-1] == Ended(handoff=77, reason="closed by the peer")
    assert len(camera.registry) == 0
    assert not camera.registry.knows(77)
    assert camera.pipelines["stream1"].wanted == 0
    camera.registry.dispatch([Received(client.id, b"late"), Ready(client.id, 1, 1, 1)], camera.now_ns)  # nobody's


def test_the_ends_and_failed_logins_of_strangers_have_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = Camera()
    for handoff in range(5):
        client = camera.client(handoff=handoff)
        client.ask("DESCRIBE", login="viewer:guessed")
        camera.registry.dispatch([Closed(client.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    known = camera.client()
    known.ask("DESCRIBE")
    camera.registry.dispatch([Closed(known.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    alerted = camera.client()
    camera.registry.dispatch([Closed(alerted.id, "alert", "unknown_ca", 0, 0, 0)], camera.now_ns)
    camera.now_ns += S
    late = camera.client()
    camera.registry.dispatch([Closed(late.id, "closed by the peer", "", 0, 0, 0)], camera.now_ns)
    lines = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    assert {str(fields["peer"]) for _, fields in lines} == {"192.0.2.1:40000"}
    assert [(event, fields["user"], fields.get("detail"), fields["suppressed"]) for event, fields in lines] == [
        ("login_failed", "viewer", None, 0),
        ("closed", "", "", 0),
        ("closed", "viewer", "", 0),
        ("closed", "", "unknown_ca", 0),
        ("closed", "", "", 4),
    ]


def test_the_first_login_on_a_connection_is_news() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("OPTIONS")
    client.ask("DESCRIBE", login="viewer:guessed")
    assert LoggedIn(handoff=77) not in camera.news
    client.ask("DESCRIBE")
    client.ask("DESCRIBE", login="other:word")
    assert camera.news.count(LoggedIn(handoff=77)) == 1


# ---------------------------------------------------------------- time


def test_a_reader_that_only_acknowledges_lives_and_a_silent_one_ends() -> None:
    camera = Camera()
    silent, listening = camera.client(handoff=1), camera.client(handoff=2)
    for client in (silent, listening):
        client.play()
    closed_at_s = None
    for second in range(1, 200):
        camera.now_ns += S
        camera.engine.alive_ns[listening.id] = camera.now_ns
        camera.registry.tick(camera.now_ns)
        closed = [command[1] for command in camera.engine.take() if command[0] == "close"]
        if closed:
            assert closed == [silent.id]
            assert closed_at_s is None
            closed_at_s = second
    assert closed_at_s is not None
    assert 60 < closed_at_s <= 90  # enforced later than advertised (interop 42)


def test_close_all_says_goodbye_to_everybody_and_takes_nobody_new() -> None:
    camera = Camera()
    clients = [camera.client(handoff=number) for number in range(3)]
    clients[0].play()
    camera.engine.take()
    camera.registry.close_all()
    assert sorted(camera.engine.take()) == [("close", client.id, b"") for client in clients]
    assert clients[0].ask("OPTIONS") == []
    read_end, write_end = os.pipe()
    os.close(write_end)
    camera.registry.adopt(Handoff(connection(9), b"", HandoffRecord(HANDOFF_VERSION, 9, b""), read_end), camera.now_ns)
    assert camera.news[-1] == Refused(handoff=9, reason="the camera is being closed")


# ---------------------------------------------------------------- users


@pytest.mark.parametrize(
    "users", [[user("other", "word")], [user("viewer", "new"), user("other", "word")]], ids=["removed", "new password"]
)
def test_who_has_lost_his_credentials_is_sent_away_and_others_stay(users: list[UserSpec]) -> None:
    camera = Camera()
    revoked, stays, nobody = camera.client(handoff=1), camera.client(handoff=2), camera.client(handoff=3)
    revoked.play()
    assert statuses(stays.ask("DESCRIBE", login="other:word")) == [200]
    nobody.ask("OPTIONS", login="")
    assert camera.configure(users=users) == [("close", revoked.id, b"")]
    assert statuses(stays.ask("DESCRIBE", login="other:word")) == [200]
    assert statuses(nobody.ask("DESCRIBE", login="viewer:secret")) == [401]


def test_a_client_certificate_is_a_login() -> None:
    """While there is such a user; what it was verified by is the supervisor's business."""
    camera = Camera()
    tls = TLSInfo(version="TLSv1.3", suite="", client_user="viewer", client_authority="A")
    known, stranger = camera.client(handoff=1, tls=tls), camera.client(handoff=2)
    assert statuses(known.ask("DESCRIBE", login="")) == [200]
    assert statuses(stranger.ask("DESCRIBE", login="")) == [401]
    assert LoggedIn(handoff=1) in camera.news
    assert camera.configure(users=[user("other", "word")]) == [("close", known.id, b"")]


def test_a_failed_login_is_news_and_a_lock_from_elsewhere_is_honoured() -> None:
    camera = Camera()
    client = camera.client()
    assert statuses(client.ask("DESCRIBE", login="")) == [401]
    assert camera.news == [Adopted(handoff=77)]  # the first request without credentials is no failure
    assert statuses(client.ask("DESCRIBE", login="viewer:wrong")) == [401]
    assert camera.news[1:] == [LoginFailed(address="192.0.2.1", user="viewer")]
    camera.registry.lockout.lock("192.0.2.1", "viewer", 30, camera.now_ns)
    assert statuses(client.ask("DESCRIBE")) != [200]
    camera.now_ns += 31 * S
    other = camera.client(handoff=78)
    assert statuses(other.ask("DESCRIBE")) == [200]


def test_a_password_in_the_clear_counts_inside_tls_only() -> None:
    camera = Camera()
    assert statuses(camera.client(handoff=1).ask("DESCRIBE")) == [200]
    assert statuses(camera.client(handoff=2, exported=b"").ask("DESCRIBE")) == [401]


# ---------------------------------------------------------------- hand-back


def test_a_request_for_another_camera_gives_the_connection_back_with_every_byte() -> None:
    camera = Camera()
    client = camera.client()
    camera.engine.take()
    elsewhere = request("DESCRIBE", URL.replace("ipc1", "ipc2"), cseq=5)
    commands = client.send(request("OPTIONS", URL, cseq=4) + elsewhere + b"OPTI")
    assert [command[0] for command in commands] == ["send", "release"]
    assert "CSeq: 4" in reply(commands)
    assert client.send(b"ONS * RTSP") == []  # was on its way already
    camera.registry.dispatch([Released(client.id, 9, b"moved", b"cipher")], camera.now_ns)
    ((message, record, descriptor),) = camera.handed_back
    assert message == HandBack(connection=connection(77, tls=TLS), received=elsewhere + b"OPTIONS * RTSP")
    assert record == HandoffRecord(HANDOFF_VERSION, 77, b"moved", b"cipher")
    assert descriptor == 9
    assert len(camera.registry) == 0
    assert not camera.registry.knows(77)  # it may come back to us
    assert Ended not in map(type, camera.news)


def test_a_hand_back_cut_short_is_an_end() -> None:
    camera = Camera()
    client = camera.client()
    client.ask("DESCRIBE", URL.replace("ipc1", "ipc2"))
    camera.registry.dispatch([Closed(client.id, "connection lost", "", 0, 0, 0)], camera.now_ns)
    assert camera.news[-1] == Ended(handoff=77, reason="connection lost")
    assert camera.handed_back == []


# ---------------------------------------------------------------- mistakes


def test_a_session_that_fails_costs_only_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera()
    broken, fine = camera.client(handoff=1), camera.client(handoff=2)

    receive = RTSPSession.receive

    def fail(session: RTSPSession, data: bytes, now_ns: int) -> None:
        if session.client == broken.id:
            raise RuntimeError("a bug")
        receive(session, data, now_ns)

    monkeypatch.setattr(RTSPSession, "receive", fail)
    events = [Received(broken.id, b"x"), Received(fine.id, request("OPTIONS"))]
    camera.registry.dispatch(events, camera.now_ns)
    commands = camera.engine.take()
    assert ("close", broken.id) in commands
    assert statuses(commands) == [200]


# ---------------------------------------------------------------- statistics


def test_stats_measure_the_stream_and_list_who_has_a_session() -> None:
    camera = Camera()
    reader, idle = camera.client(handoff=1), camera.client(handoff=2)
    reader.play()
    idle.ask("OPTIONS")
    began_ns = camera.now_ns
    for _ in range(10):
        camera.now_ns += S
        camera.media["stream1"].frames += 25
        camera.media["stream1"].bytes += 250_000
        camera.registry.tick(camera.now_ns)
    stats = camera.registry.stats(3, camera.now_ns)
    assert (stats.id, stats.camera, stats.connections) == (3, "ipc1", 2)
    first, second = stats.streams
    assert (first.id, first.kind, first.fps, first.bitrate_bps) == ("stream1", "testlive", 25.0, 2_000_000)
    assert (first.width, first.height, first.codec, first.encoder, first.frames) == (1280, 720, "h264", "libx264", 250)
    assert (first.latency_p50_ms, first.latency_p99_ms) == (0.262, 12.5)
    assert (second.fps, second.bitrate_bps) == (0.0, 0)
    (shown,) = readers_of(stats)
    assert (shown.peer, shown.tls_version, shown.tls_suite) == ("192.0.2.1:40000", TLS.version, TLS.suite)
    assert shown.certificate_fingerprint == TLS.certificate_fingerprint
    assert (shown.user, shown.stream, shown.state, shown.transport) == ("viewer", "stream1", "playing", "tcp")
    assert (shown.bytes_sent, shown.frames_skipped) == (1000, 1)
    assert shown.age_s == (camera.now_ns - began_ns) / 1e9


def test_stats_of_a_plain_reader() -> None:
    camera = Camera()
    camera.client(tls=None).play()
    (shown,) = readers_of(camera.registry.stats(1, camera.now_ns))
    assert (shown.tls_version, shown.tls_suite, shown.certificate_fingerprint) == ("", "", "")


def test_the_engine_is_woken_once_for_all_that_one_turn_asks_of_it() -> None:
    camera = Camera()
    camera.engine.turns.clear()  # of its settings
    clients = [camera.client(request("OPTIONS"), handoff) for handoff in (1, 2)]
    assert [command[0] for command in camera.engine.take()] == ["adopt", "send"] * 2
    assert camera.engine.turns == [2, 2]
    asked = [Received(client.id, request("OPTIONS", cseq=2)) for client in clients]
    camera.registry.dispatch(asked, camera.now_ns)
    assert camera.engine.turns[2:] == [2]
