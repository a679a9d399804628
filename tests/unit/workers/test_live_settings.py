"""Settings that change while clients are there: what each change does, and to whom."""

import re
from typing import Any

from camfleet.core.net.fanout import Closed
from camfleet.core.wire import CameraSpec, FileLive, StreamSpec, TestLive, VideoSpec
from msgspec.structs import replace

from tests.kit.live_camera import URL, Camera, S, reply, statuses
from tests.kit.rtsp import user

OTHER = URL.replace("stream1", "stream2")


def with_stream(camera: CameraSpec, stream_id: str, **changes: Any) -> tuple[StreamSpec, ...]:
    """All streams, with one of them changed."""
    return tuple(replace(each, **changes) if each.id == stream_id else each for each in camera.streams)


def without_stream(camera: CameraSpec, stream_id: str) -> tuple[StreamSpec, ...]:
    return tuple(each for each in camera.streams if each.id != stream_id)


def test_limits_reach_the_engine() -> None:
    camera = Camera()
    spec = camera.order.camera
    assert camera.engine.limits == (spec.stall_timeout_s, spec.key_update_records, spec.key_update_spacing_s)
    camera.configure(stall_timeout_s=3.5, key_update_records=1000, key_update_spacing_s=0.5)
    assert camera.engine.limits == (3.5, 1000, 0.5)


def test_what_is_in_force_is_told() -> None:
    camera = Camera()
    assert camera.registry.settings == camera.order.digest()
    before = camera.registry.settings
    camera.configure(name="Gate")
    assert camera.registry.settings == camera.order.digest() != before
    assert camera.registry.stats(1, camera.now_ns).settings == camera.order.digest()


def test_other_settings_of_a_stream_are_its_pipelines_and_no_readers_business() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    before = camera.media["stream1"]
    video = VideoSpec(width=640, height=360, fps=10, bitrate_bps=500_000)
    for change in ({"video": video}, {"source": FileLive("/clip.mp4")}, {"linger_s": 0.0}):
        assert camera.configure(streams=with_stream(camera.order.camera, "stream1", **change)) == []
        assert camera.pipelines["stream1"].orders[-1] == camera.order.camera.streams[0]
    assert camera.configure() == []  # the same once more
    assert len(camera.pipelines["stream1"].orders) == 3
    assert camera.pipelines["stream2"].orders == []
    assert camera.media["stream1"] is before
    assert camera.pipelines["stream1"].wanted == 1
    assert statuses(client.ask("GET_PARAMETER", URL, client.session)) == [200]
    assert statuses(client.ask("TEARDOWN", URL, client.session)) == [200]  # by the URL of the source of before


def test_a_joiner_starts_as_the_stream_says_now() -> None:
    camera = Camera()
    assert camera.media["stream1"].join == "force"
    camera.configure(streams=with_stream(camera.order.camera, "stream1", source=FileLive("/clip.mp4"), video=None))
    assert camera.media["stream1"].join == "newest"
    camera.configure(streams=with_stream(camera.order.camera, "stream1", join="live"))
    assert camera.media["stream1"].join == "live"
    camera.configure(streams=with_stream(camera.order.camera, "stream1", source=TestLive(), video=VideoSpec()))
    assert camera.media["stream1"].join == "force"


def test_the_description_tells_the_new_name_and_rate_under_a_higher_version() -> None:
    camera = Camera()
    client = camera.client()
    texts = [reply(client.ask("DESCRIBE"))]
    camera.configure(name="Gate")
    texts.append(reply(client.ask("DESCRIBE")))
    camera.configure(streams=with_stream(camera.order.camera, "stream1", video=VideoSpec(bitrate_bps=700_000)))
    texts.append(reply(client.ask("DESCRIBE")))
    assert [re.findall(r"^s=(.*)\r$", text, re.MULTILINE) for text in texts] == [["Lobby"], ["Gate"], ["Gate"]]
    assert [re.findall(r"^b=AS:(.*)\r$", text, re.MULTILINE) for text in texts] == [["2000"], ["2000"], ["700"]]
    versions = [int(number) for text in texts for number in re.findall(r"^o=- \d+ (\d+)", text, re.MULTILINE)]
    assert versions == sorted(set(versions))


def test_a_stream_that_is_removed_says_goodbye_to_its_own_clients_only() -> None:
    camera = Camera()
    playing, set_up, described, other, nobody = (camera.client(handoff=number) for number in range(5))
    playing.play()
    set_up.set_up()
    described.ask("DESCRIBE")
    other.set_up("stream2")
    other.ask("PLAY", OTHER, other.session)
    nobody.ask("OPTIONS")
    pipeline = camera.pipelines["stream1"]
    commands = camera.configure(streams=without_stream(camera.order.camera, "stream1"))
    assert commands == [("close", client.id, b"") for client in (playing, set_up, described)]
    assert camera.taken_down == ["stream1"]
    camera.registry.dispatch([Closed(playing.id, "closed by the server", "", 1, 1, 0)], camera.now_ns)
    assert pipeline.wanted == 0
    assert camera.pipelines["stream2"].orders == []
    assert statuses(nobody.ask("DESCRIBE")) == [404]
    assert statuses(nobody.ask("DESCRIBE", "rtsps://192.0.2.7/ipc1")) == [200]  # the next one is the default now
    assert [stream.id for stream in camera.registry.stats(1, camera.now_ns).streams] == ["stream2"]


def test_who_waits_for_the_description_of_a_stream_that_goes_may_look_for_another() -> None:
    camera = Camera()
    pipeline = camera.pipelines["stream1"]
    pipeline.description = None
    client = camera.client()
    assert statuses(client.ask("DESCRIBE")) == []
    assert statuses(camera.configure(streams=without_stream(camera.order.camera, "stream1"))) == [503]
    assert pipeline.wanted == 0
    assert statuses(client.ask("DESCRIBE", OTHER)) == [200]


def test_who_has_left_a_stream_does_not_go_with_it() -> None:
    camera = Camera()
    client = camera.client()
    client.play()
    client.ask("TEARDOWN", URL, client.session)
    camera.engine.take()
    assert camera.configure(streams=without_stream(camera.order.camera, "stream1")) == []


def test_a_stream_that_is_added_is_there_for_old_connections() -> None:
    camera = Camera()
    client = camera.client()
    url = URL.replace("stream1", "stream3")
    assert statuses(client.ask("DESCRIBE", url)) == [404]
    streams = (*camera.order.camera.streams, StreamSpec(id="stream3", source=TestLive(), video=VideoSpec()))
    assert camera.configure(streams=streams) == []
    assert statuses(client.ask("DESCRIBE", url)) == [200]


def test_the_first_stream_of_the_file_is_the_default_one() -> None:
    camera = Camera()
    before = dict(camera.media)
    camera.configure(streams=tuple(reversed(camera.order.camera.streams)))
    client = camera.client()
    commands = client.ask("SETUP", "rtsps://192.0.2.7/ipc1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
    assert f"ssrc={before['stream2'].ssrc:08X}" in reply(commands)
    assert camera.media == before
    assert camera.taken_down == []


def test_fewer_seats_are_for_those_who_come() -> None:
    camera = Camera()
    first, second = camera.client(handoff=1), camera.client(handoff=2)
    first.set_up()
    assert camera.configure(max_sessions=1) == []
    assert statuses(second.set_up()) == [453]
    camera.configure(max_sessions=2)
    assert statuses(second.set_up()) == [200]


def test_a_session_keeps_the_time_out_that_it_was_told() -> None:
    camera = Camera()
    old = camera.client(handoff=1)
    old.set_up()
    camera.engine.take()
    camera.configure(session_timeout_s=5)
    new = camera.client(handoff=2)
    assert "timeout=5" in reply(new.set_up())
    camera.now_ns += 20 * S
    camera.registry.tick(camera.now_ns)
    assert [command[:2] for command in camera.engine.take()] == [("close", new.id)]


def test_logins_are_as_configured_now() -> None:
    camera = Camera()
    client = camera.client(exported=b"")
    assert "SHA-256" not in reply(client.ask("DESCRIBE", login=""))
    camera.configure(sha256=True, login_failures=1, users=[user("viewer", "another")])
    assert "algorithm=SHA-256" in reply(client.ask("DESCRIBE", login=""))
    secure = camera.client(handoff=2)
    assert statuses(secure.ask("DESCRIBE", login="viewer:secret")) == [401]
    assert statuses(secure.ask("DESCRIBE", login="viewer:another")) == [403]  # one failure was enough
