"""What the documents tell people to type is what the program understands."""

import re
import shlex
from pathlib import Path

import pytest
from camfleet.supervisor import cli
from camfleet.supervisor.config.read import parse

from tests.kit.authority import Authority
from tests.rules.sources import ROOT

DOCUMENTS = ("README.md", "docs/certificates.md")
_WORDS = "serve|check|status|cert|password|encoders"
_COMMAND = re.compile(rf"^(?: {{4}})?(camfleet (?:{_WORDS})\b.*)$|`(camfleet (?:{_WORDS})\b[^`]*)`", re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """In blocks and within lines; `A | B` and `[--option]` describe, nobody types them. `bench` has its own parser."""
    found = [block or inline for block, inline in _COMMAND.findall(text)]
    return [shlex.split(each, comments=True) for each in found if not re.search(r" \| |\[", each)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands(document: str) -> None:
    for words in commands((ROOT / document).read_text()):
        cli._parser().parse_args(words[1:])


def test_there_are_some() -> None:
    assert ["camfleet", "serve", "--config", "camfleet.toml"] in commands((ROOT / "README.md").read_text())
    found = commands((ROOT / "docs/certificates.md").read_text())
    assert len(found) > 15
    assert ["camfleet", "cert", "install", "rsa.crt", "rsa.key", "--beside"] in found


def test_configurations_of_sources_work_as_they_stand(tmp_path: Path) -> None:
    """With the files that they name."""
    (tmp_path / "shifts").mkdir()
    (tmp_path / "intro.mp4").touch()
    (tmp_path / "gate.password").write_text("secret\n")
    (tmp_path / "site-ca.pem").write_bytes(Authority().root)
    blocks = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs/sources.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        for name in re.findall(r'path = "([^"/]+)"', block):
            (tmp_path / name).touch()
        assert parse(block.encode(), "docs/sources.md", tmp_path).cameras
