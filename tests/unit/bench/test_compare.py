"""Ratios of two sets of benchmarks, and what they are compared with."""

import os
import subprocess
from pathlib import Path

import pytest
from camfleet.bench.compare import base_commit, fastest, measure, report, reuse


def test_the_fastest_of_all_rounds_counts() -> None:
    assert fastest([{"a": 2.0, "b": 1.0}, {"a": 1.5, "c": 4.0}]) == {"a": 1.5, "b": 1.0, "c": 4.0}


def test_the_worst_comes_first_and_what_one_side_lacks_is_left_out() -> None:
    base = {"bench/micro/a": 1.0, "bench/micro/b": 2.0, "bench/micro/c": 1.0, "gone": 1.0}
    this = {"bench/micro/a": 1.1, "bench/micro/b": 1.0, "bench/micro/c": 1.11, "new": 1.0}
    assert list(report(base, this)) == [
        " 1.11  c  SLOWER",
        " 1.10  a",
        " 0.50  b",
        "3 benchmarks, 1 more than 10% slower than the base",
    ]


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent on main, where the branch began on a branch, nothing at the first commit."""
    monkeypatch.chdir(tmp_path)
    assert base_commit() == ""
    git("init", "-q", "-b", "main")
    commits = []
    for name in ("first", "second"):
        git("commit", "-q", "--allow-empty", "-m", name)
        commits.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", commits[0])
    assert base_commit() == ""
    git("checkout", "-q", "main")
    assert base_commit() == commits[0]
    git("update-ref", "refs/remotes/origin/main", commits[1])
    assert base_commit() == commits[0]
    for name in ("third", "fourth"):
        git("commit", "-q", "--allow-empty", "-m", name)
    assert base_commit() == commits[1]


def test_what_both_sides_have_is_not_compiled_again(tmp_path: Path) -> None:
    here, tree = tmp_path / "here", tmp_path / "tree"
    for side in (here, tree):
        (side / "core").mkdir(parents=True)
        for name in ("setup.py", "pyproject.toml", "core/same.pyx", "core/other.pyx", f"core/only_{side.name}.pyx"):
            path = side / name
            path.write_text(str(side) if "other" in name else "same")
            os.utime(path, (1, 1) if side == here else (5, 5))
    reuse(here, tree)
    assert (tree / "core/same.pyx").stat().st_mtime == 5  # nothing has been built here
    made = here / "build/release/same.so"
    made.parent.mkdir(parents=True)
    made.touch()
    os.utime(made, (2, 2))
    (tree / "setup.py").write_text("of other options")
    reuse(here, tree)
    assert not (tree / "build").exists()
    (tree / "setup.py").write_text("same")
    reuse(here, tree)
    ages = {path.name: path.stat().st_mtime for path in tree.rglob("*.pyx")}
    assert ages == {"same.pyx": 1, "other.pyx": 5, "only_tree.pyx": 5}
    assert (tree / "build/release/same.so").stat().st_mtime == 2


def test_a_benchmark_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown, and the others count."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # beside other tests no benchmark would run
    folder = tmp_path / "bench" / "micro"
    folder.mkdir(parents=True)
    (folder / "test_two.py").write_text(
        "def test_a(benchmark): benchmark(int)\ndef test_b(benchmark): assert 0, 'broken'\n"
    )
    assert list(measure(tmp_path)) == ["bench/micro/test_two.py::test_a"]
    assert "AssertionError: broken" in capsys.readouterr().out
    (folder / "test_two.py").write_text("syntax error")
    assert measure(tmp_path) == {}
    assert "SyntaxError" in capsys.readouterr().out
