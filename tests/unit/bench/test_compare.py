"""Ratios of two sets of benchmarks, and what they are compared with."""

import subprocess
from pathlib import Path

import pytest
from camfleet.bench.compare import base_commit, fastest, measure, report


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


def test_a_benchmark_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown, and the others count."""
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
