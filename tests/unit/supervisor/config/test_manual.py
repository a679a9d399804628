from pathlib import Path

from camfleet.supervisor.config.manual import manual

ROOT = Path(__file__).parents[4]


def test_the_settings_reference_is_fresh() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == manual(), "run: python -m camfleet.supervisor.config.manual > docs/settings.md"


def test_every_setting_has_its_prose() -> None:
    rows = [line for line in manual().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []
