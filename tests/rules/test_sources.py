"""Shape of the tree: sizes, README files, stubs, words that must not be in it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.rules.sources import ROOMS, ROOT, files

TOP_LEVEL = {"core", "supervisor", "workers", "tests", "bench", "docs", "pyproject.toml", "setup.py", "README.md",
             "CHANGELOG.md", "Makefile", "MANIFEST.in", "LICENSE"}  # fmt: skip
HARD_LIMIT = 700
SOFT_LIMIT = 450
CODE = (*ROOMS, "tests")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an exported tree")
def test_nothing_else_stands_at_the_top() -> None:
    command = ["git", "-c", "safe.directory=*", "ls-files"]  # a container's clone may be another user's
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in listing.splitlines()}
    assert {name for name in top if not name.startswith(".")} - TOP_LEVEL == set()


def test_no_file_is_two_rooms() -> None:
    sizes = {path.as_posix(): len((ROOT / path).read_text().splitlines()) for path in files(*CODE)}
    assert {path: size for path, size in sizes.items() if size > HARD_LIMIT} == {}
    product = {path: size for path, size in sizes.items() if not path.startswith("tests/")}
    assert {path: size for path, size in product.items() if size > SOFT_LIMIT} == {}


@pytest.mark.parametrize("folder", CODE)
def test_every_top_level_folder_has_a_readme_of_one_page(folder: str) -> None:
    lines = (ROOT / folder / "README.md").read_text().splitlines()
    assert 5 <= len(lines) <= 100


def test_every_file_says_what_it_is_for() -> None:
    silent = []
    for path in files(*ROOMS, suffixes=(".py", ".pyx")):
        text = (ROOT / path).read_text().lstrip()
        if text and not re.match(r'(# (cython|distutils):.*\n|\s)*("""|#)', text):
            silent.append(path.as_posix())
    assert silent == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"#\s*(TODO|FIXME|XXX|HACK)\b", "an open end"),
        (r"#\s*(noqa|type: ignore)(?!(: [A-Z]+\d+|\[[a-z-]+\])  # \S)", "an exception without its rule and reason"),
        (r"/(tmp/work|work/shared|work/main)\b", "a path of somebody's machine"),
        (r"\bbreakpoint\(\)|\bpdb\b", "a debugger"),
    ],
)
def test_words_that_do_not_belong_in_sources(pattern: str, why: str) -> None:
    found = [
        f"{path}:{number}: {why}: {line.strip()}"
        for path in files(*CODE)
        if path != Path("tests/rules/test_sources.py")
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


def test_modules_that_python_imports_have_stubs() -> None:
    """Of an extension module without a stub mypy knows nothing."""
    for path in files(*ROOMS, suffixes=(".pyx",)):
        text = (ROOT / path).read_text()
        public = re.findall(r"^(?:cpdef .*?|cdef class |class |def )(\w+)\s*[(:]", text, re.MULTILINE)
        if any(not name.startswith("_") for name in public):
            assert (ROOT / path.with_suffix(".pyi")).exists(), f"{path} has {public}"
