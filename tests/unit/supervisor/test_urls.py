import ipaddress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from camfleet.supervisor.config import IdentitySettings, Settings, TLSSettings, load
from camfleet.supervisor.credentials import user_spec
from camfleet.supervisor.greeting import MAX_CAMERAS, greeting
from camfleet.supervisor.state import StateFolder
from camfleet.supervisor.urls import places, primary_address, public_host, stream_url

SETTINGS = load(None)
CAMERA = SETTINGS.cameras[0]
STREAM = CAMERA.streams[0]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, [("rtsps", 8322), ("rtsp", 8554)]),
        ({"rtsps": "available"}, [("rtsp", 8554), ("rtsps", 8322)]),
        ({"rtsps": "off"}, [("rtsp", 8554)]),
        ({"rtsps": "required"}, [("rtsps", 8322)]),
        ({"rtsp_port": 0}, [("rtsps", 8322)]),
        ({"rtsps_port": 0}, [("rtsps", 8554), ("rtsp", 8554)]),
    ],
)
def test_schemes(server: dict[str, object], expected: list[tuple[str, int]]) -> None:
    found = places(load(None, server), "ipc1", "192.0.2.7")
    assert found == [(scheme, "192.0.2.7", port) for scheme, port in expected]


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ({}, ("rtsps", "192.0.2.7", 8322)),
        ({"rtsps_port": 8401}, ("rtsps", "192.0.2.7", 8401)),
        ({"server_name": "ipc1.example.org"}, ("rtsps", "ipc1.example.org", 8322)),
        ({"server_name": "*.example.org"}, ("rtsps", "192.0.2.7", 8322)),
        ({"address": "2001:db8::1"}, ("rtsps", "2001:db8::1", 8322)),
        ({"server_name": "a.example.org", "address": "2001:db8::1"}, ("rtsps", "a.example.org", 8322)),
    ],
)
def test_a_camera_is_found_where_its_certificate_is_shown(
    identity: dict[str, Any], expected: tuple[str, str, int]
) -> None:
    own = IdentitySettings(name="ipc1", **identity)
    settings = msgspec.structs.replace(load(None), tls=TLSSettings(identities=(IdentitySettings(name="global"), own)))
    assert places(settings, "ipc1", "192.0.2.7") == [expected, ("rtsp", "192.0.2.7", 8554)]
    assert places(settings, "ipc2", "192.0.2.7")[0] == ("rtsps", "192.0.2.7", 8322)


@pytest.mark.parametrize(
    ("host", "user", "password", "url"),
    [
        ("192.0.2.7", "", "", "rtsps://192.0.2.7:8322/ipc1-stream1/testlive"),
        ("2001:db8::7", "", "", "rtsps://[2001:db8::7]:8322/ipc1-stream1/testlive"),
        ("fe80::1%eth0", "", "", "rtsps://[fe80::1%25eth0]:8322/ipc1-stream1/testlive"),
        ("192.0.2.7", "viewer", "", "rtsps://viewer@192.0.2.7:8322/ipc1-stream1/testlive"),
        ("192.0.2.7", "a b", "p@/:", "rtsps://a%20b:p%40%2F%3A@192.0.2.7:8322/ipc1-stream1/testlive"),
    ],
)
def test_stream_url(host: str, user: str, password: str, url: str) -> None:
    assert stream_url("rtsps", host, 8322, CAMERA, STREAM, user, password) == url


def test_public_host() -> None:
    assert public_host(load(None, {"host": ["127.0.0.1", "::1"]})) == "127.0.0.1"
    assert public_host(load(None, {"host": "::"})) == primary_address()
    assert not ipaddress.ip_address(primary_address()).is_unspecified


@pytest.fixture
def settings() -> Settings:
    server = load(None, {"host": "192.0.2.7"})
    return msgspec.structs.replace(server, users=(user_spec("viewer", "s3cret"),))


def test_the_first_greeting_has_everything_to_paste(settings: Settings) -> None:
    text = greeting(settings, StateFolder(Path("/state")), generated=True, password="s3cret")
    for url in (
        "rtsps://viewer:s3cret@192.0.2.7:8322/ipc1-stream1/testlive",
        "rtsp://viewer:s3cret@192.0.2.7:8554/ipc1-stream1/testlive",
        "rtsps://viewer:s3cret@192.0.2.7:8322/ipc1-stream2/testlive",
        "rtsp://viewer:s3cret@192.0.2.7:8554/ipc1-stream2/testlive",
    ):
        assert f"  {url}\n" in text
    assert "User viewer, password s3cret (shown only this once)\n" in text
    assert "/state/certs/ssl.ca" in text


def test_a_later_greeting_says_how_to_get_a_new_password(settings: Settings) -> None:
    text = greeting(settings, StateFolder(Path("/state")), generated=True)
    assert "  rtsps://viewer@192.0.2.7:8322/ipc1-stream1/testlive\n" in text
    assert "camfleet password --state-dir /state\n" in text


def test_a_greeting_of_many_cameras_fits_the_screen(settings: Settings) -> None:
    cameras = tuple(msgspec.structs.replace(CAMERA, id=f"ipc{n}") for n in range(1, 201))
    text = greeting(msgspec.structs.replace(settings, cameras=cameras), StateFolder(Path("/state")), generated=False)
    assert f"ipc{MAX_CAMERAS}-stream1" in text
    assert f"ipc{MAX_CAMERAS + 1}-stream1" not in text
    assert "and 190 cameras more" in text
    assert "Users: viewer" in text
    assert "camfleet password" not in text
