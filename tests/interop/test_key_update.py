"""Players through many KeyUpdates, and the same for ten minutes: `make soak`."""

import os
from collections.abc import Iterator

import pytest

from tests.kit.players import START_TIMEOUT_S, FFmpeg, GStreamer
from tests.kit.server import Server
from tests.kit.wait import wait_for

FPS = 25
SECONDS = int(os.environ.get("CAMFLEET_SOAK_S", "20"))
# 25 frames a second are at least 25 records: new keys every half second, which is below what GnuTLS calls a flood.
SETTINGS = "\n[tls]\nkey_update_records = 10\nkey_update_spacing_s = 0.5\n"


@pytest.fixture
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("key-update"), tail=SETTINGS) as running:
        yield running


def test_players_follow_every_key_update(impatient_server: Server) -> None:
    players = [player(impatient_server.url(), SECONDS * FPS) for player in (FFmpeg, GStreamer)]
    updates: dict[str, int] = {}

    def enough() -> bool:
        updates.update({reader["peer"]: reader["key_updates"] for reader in impatient_server.camera()["readers"]})
        return len(updates) == 2 and min(updates.values()) > SECONDS

    wait_for(enough, SECONDS + START_TIMEOUT_S, lambda: f"KeyUpdates by reader: {updates}")
    for player in players:
        played = player.wait(SECONDS + START_TIMEOUT_S)
        assert played.errors == ""
        assert played.ended_well
        assert played.frames >= SECONDS * FPS
    assert len(updates) == 2, "a player came back under another address"
