"""Lint, format and types are part of the tests, so that nobody can forget them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.sources import ROOMS, ROOT


def run(*command: str, cwd: Path = ROOT) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


@pytest.mark.parametrize("command", [("check", "--no-cache"), ("format", "--check", "--no-cache")])
def test_ruff(command: tuple[str, ...]) -> None:
    run("ruff", *command, ".")


def test_mypy() -> None:
    """The installed package is checked, as its users see it: with its stubs and py.typed; tests and benchmarks too."""
    assert importlib.util.find_spec("camfleet") is not None
    packages = [*(f"camfleet.{room}" for room in ROOMS), "bench.micro", "tests"]
    run("mypy", "--explicit-package-bases", *(f"--package={package}" for package in packages))
