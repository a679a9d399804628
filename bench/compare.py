"""`make bench-compare`: the micro benchmarks of this commit and of its base, in turns on this machine, as ratios.

The base is the commit where the branch left origin/main; for main itself, the commit before. It is built beside the
sources, of what is compiled here already and what is other there, and left out of the environment. Each side runs its
own benchmarks; what only one of them has is not compared. The fastest time of all rounds counts: what is left when
nobody disturbs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

BUILT = Path("build", "release")  # by setup.py
RECIPE = ("setup.py", "pyproject.toml")  # another one compiles everything again, as in the Makefile
ROUNDS = 2
WORSE = 1.10
OPTIONS = ("-q", "-p", "no:cacheprovider", "--benchmark-only", "--benchmark-max-time=0.1", "--benchmark-min-rounds=3")

Times = dict[str, float]


def git(*arguments: str) -> str:
    """Empty when git says no."""
    answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def base_commit() -> str:
    """Empty in a clone that has no history."""
    head = git("rev-parse", "HEAD")
    left = git("merge-base", "HEAD", "origin/main")
    return left if left not in ("", head) else git("rev-parse", "--verify", "--quiet", "HEAD^")


def reuse(here: Path, tree: Path) -> None:
    """setuptools compiles by the age of files: those of the base that are the same here get the age that they have
    here, and what was made of them comes along. All others have just been written."""

    def same(name: str | Path) -> bool:
        ours, theirs = here / name, tree / name
        return ours.is_file() and theirs.is_file() and ours.read_bytes() == theirs.read_bytes()

    if not (here / BUILT).is_dir() or not all(map(same, RECIPE)):
        return
    for name in [path.relative_to(tree) for path in tree.rglob("*")]:
        if same(name):
            shutil.copystat(here / name, tree / name)
    shutil.copytree(here / BUILT, tree / BUILT)


def build(tree: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target", str(site)]
    subprocess.run([*command, str(tree)], check=True)


def measure(tree: Path, *sites: Path) -> Times:
    """Seconds of each benchmark's fastest round; failures are printed and left out. `sites` are looked into before the
    environment."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, sites), str(tree)])}
        command = [sys.executable, "-m", "pytest", *OPTIONS, f"--benchmark-json={result.name}", "bench/micro"]
        ended = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            print(ended.stdout)
        found = json.loads(result.read() or b'{"benchmarks": []}')
        return {each["fullname"]: each["stats"]["min"] for each in found["benchmarks"]}


def fastest(runs: list[Times]) -> Times:
    found: Times = {}
    for run in runs:
        for name, seconds in run.items():
            found[name] = min(seconds, found.get(name, seconds))
    return found


def report(base: Mapping[str, float], this: Mapping[str, float]) -> Iterator[str]:
    """A line for each benchmark that both have, the worst first."""
    ratios = {name: this[name] / base[name] for name in this.keys() & base.keys()}
    for name, ratio in sorted(ratios.items(), key=lambda item: (-item[1], item[0])):
        yield f"{ratio:5.2f}  {name.removeprefix('bench/micro/')}{'  SLOWER' if ratio > WORSE else ''}"
    slower = sum(ratio > WORSE for ratio in ratios.values())
    yield f"{len(ratios)} benchmarks, {slower} more than {WORSE - 1:.0%} slower than the base"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=base_commit(), metavar="COMMIT")
    base = parser.parse_args().base
    if not base:
        print("nothing to compare with: this clone has no commit before HEAD")
        return
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        tree, site = Path(folder, "tree"), Path(folder, "site")
        tree.mkdir()
        archive = subprocess.run(["git", "archive", base], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x", "-m", "-C", str(tree)], input=archive, check=True)  # -m: made now
        reuse(here, tree)
        build(tree, site)
        rounds = [(measure(tree, site), measure(here)) for _ in range(ROUNDS)]
    print(f"time of this commit to that of {git('log', '-1', '--format=%h %s', base)}")
    for line in report(fastest([one for one, _ in rounds]), fastest([other for _, other in rounds])):
        print(line)


if __name__ == "__main__":
    main()
