"""What the documents tell people to type is what the program understands."""

import re
import shlex
from pathlib import Path

import pytest
from camfleet.core.wire.source import KINDS
from camfleet.supervisor import cli
from camfleet.supervisor.config import load

from tests.kit.authority import Authority
from tests.rules.sources import ROOMS, ROOT, files

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


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_of_a_room_names_all_that_stands_in_it(room: str) -> None:
    page = (ROOT / room / "README.md").read_text()
    names = {path.parts[1].partition(".")[0] for path in files(room)} - {"__init__", "__main__"}
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()


_SECTION = re.compile(r"^## `?(\w+)`?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTIONS = {heading: _TOML.findall(text) for heading, text in _SECTION.findall((ROOT / "docs/sources.md").read_text())}


def test_each_kind_of_source_has_a_configuration() -> None:
    blocks = {kind: "".join(_SECTIONS.get(kind, ())) for kind in KINDS}
    assert [kind for kind, text in blocks.items() if f'source = {{ kind = "{kind}"' not in text] == []


@pytest.mark.parametrize("heading", [heading for heading, blocks in _SECTIONS.items() if blocks])
def test_configurations_of_sources_work_as_they_stand(heading: str, tmp_path: Path) -> None:
    """With the files that they name."""
    (tmp_path / "shifts").mkdir()
    (tmp_path / "intro.mp4").touch()
    for name in ("gate.password", "encoder.password"):
        (tmp_path / name).write_text("secret\n")
    (tmp_path / "site-ca.pem").write_bytes(Authority().root)
    for number, block in enumerate(_SECTIONS[heading]):
        for name in re.findall(r'path = "([^"/]+)"', block):
            (tmp_path / name).touch()
        file = tmp_path / f"{number}.toml"
        file.write_text(f'[server]\nstate_dir = "state"\n{block}')
        assert cli.main(["check", str(file)]) == 0
        assert load(file).cameras[0].id in block
