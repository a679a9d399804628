from pathlib import Path
from typing import get_args, get_type_hints

from camfleet.supervisor.config.manual import manual
from camfleet.supervisor.config.schema import Video
from camfleet.workers.encoders import AUTO, BACKENDS

ROOT = Path(__file__).parents[4]


def test_the_settings_reference_is_fresh() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == manual(), "run: python -m camfleet.supervisor.config.manual > docs/settings.md"


def test_every_setting_has_its_prose() -> None:
    rows = [line for line in manual().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_encoders_are_those_of_the_workers() -> None:
    # The supervisor must not import the workers' room; the test may look at both.
    assert set(get_args(get_type_hints(Video)["encoder"])) == {AUTO, *(backend.name for backend in BACKENDS)}
