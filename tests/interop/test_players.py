"""FFmpeg and GStreamer as an operator's recorders: plain and encrypted, right and wrong password, verified name."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer, Player
from tests.kit.server import PASSWORD, Server

FPS = 25  # of tests/kit/server.py
PLAYERS = [pytest.param(FFmpeg, id="ffmpeg"), pytest.param(GStreamer, id="gstreamer")]
SECURITY = [pytest.param(True, id="rtsps"), pytest.param(False, id="rtsp")]
VERIFY = Path(__file__).with_name("gstreamer_verify.py")


def test_all_decode_twenty_seconds_without_one_error(server: Server) -> None:
    frames = 20 * FPS
    players = {
        f"{player.__name__} {'rtsps' if tls else 'rtsp'}": player(server.url(tls=tls), frames)
        for player in (FFmpeg, GStreamer)
        for tls in (True, False)
    }
    played = {name: player.wait(20 + START_TIMEOUT_S) for name, player in players.items()}
    for name, result in played.items():
        assert result.errors == "", name
        assert result.ended_well, name
        assert result.frames >= frames, name


@pytest.mark.parametrize("tls", SECURITY)
@pytest.mark.parametrize("player", PLAYERS)
def test_a_wrong_password_plays_nothing(player: Callable[[str, int], Player], tls: bool, server: Server) -> None:
    played = player(server.url(tls=tls).replace(PASSWORD, "wrong"), FPS).wait(START_TIMEOUT_S)
    assert not played.ended_well
    assert played.frames == 0
    assert "401" in played.errors or "nauthorized" in played.errors, played.errors


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_gstreamer_verifies_the_exported_certificate(host: str, server: Server, authority: Path) -> None:
    code, said = _verify(server.url().replace("127.0.0.1", host), authority)
    assert (code, said) == (0, "played")


def test_gstreamer_refuses_a_wrong_name(server: Server, authority: Path) -> None:
    """127.0.0.2 reaches the server, but no certificate of it says so."""
    assert GStreamer(server.url().replace("127.0.0.1", "127.0.0.2"), FPS).wait(START_TIMEOUT_S).ended_well
    code, said = _verify(server.url().replace("127.0.0.1", "127.0.0.2"), authority)
    assert code == 1
    assert "connect" in said


def test_gstreamer_refuses_a_certificate_that_it_does_not_trust(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout /dev/null"
    subject = "-subj /CN=other -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), *subject.split(), "-out", str(other)], check=True, capture_output=True)
    code, said = _verify(server.url(), other)
    assert code == 1
    assert "connect" in said


def _verify(url: str, authority: Path) -> tuple[int, str]:
    # The system's Python has GStreamer's bindings; ours has not.
    ended = subprocess.run(
        ["/usr/bin/python3", str(VERIFY), url, str(authority), str(FPS)],
        capture_output=True,
        text=True,
        timeout=2 * START_TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.strip()
