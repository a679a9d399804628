"""Which cores workers may have, as the configuration says it: on a machine with the cores 0 to 3 and 6."""

from pathlib import Path

import pytest
from camfleet.supervisor.config import affinity, check, load
from camfleet.supervisor.config.settings import Settings

CAMERA = """
[[cameras]]
id = "{id}"
{cpus}
[[cameras.streams]]
id = "stream1"
source = {{ kind = "testlive" }}
"""


@pytest.fixture(autouse=True)
def five_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "usable", lambda: frozenset((0, 1, 2, 3, 6)))


def file(folder: Path, of_all: str, *cpus: str) -> Path:
    path = folder / "camfleet.toml"
    cameras = "".join(CAMERA.format(id=f"ipc{number}", cpus=line) for number, line in enumerate(cpus, 1))
    path.write_text(f"[workers]\n{of_all}\n{cameras}")
    return path


def settings(folder: Path, of_all: str, *cpus: str) -> Settings:
    return load(file(folder, of_all, *cpus))


def test_by_default_the_kernel_decides(tmp_path: Path) -> None:
    found = settings(tmp_path, "", "", "cpus = []")
    assert (found.workers.affinity, found.cores) == ("none", {})


def test_a_camera_goes_before_the_server(tmp_path: Path) -> None:
    assert settings(tmp_path, 'affinity = "spread"', "cpus = [6, 1]", "").cores == {"ipc1": {1, 6}}
    assert settings(tmp_path, "affinity = [2, 3]", "cpus = [0]", "").cores == {"ipc1": {0}, "ipc2": {2, 3}}


def test_the_test_camera_without_configuration(tmp_path: Path) -> None:
    assert settings(tmp_path, "affinity = [2]").cores == {"ipc1": {2}}


NUMBERS = "a list of core numbers, as in [2, 3]"
HERE = "of the cores that this process may use: 0-3,6"


@pytest.mark.parametrize(
    ("of_all", "cpus", "problem"),
    [
        ("", "cpus = [4]", f'6: ipc1: cameras[0].cpus: camera "ipc1" cannot have core 4; allowed: {HERE}'),
        (
            "",
            "cpus = [0, 7, 4, 5]",
            f'6: ipc1: cameras[0].cpus: camera "ipc1" cannot have cores 4-5,7; allowed: {HERE}',
        ),
        ("affinity = [9]", "", f"2: workers.affinity: the server cannot have core 9; allowed: {HERE}"),
        ("", "cpus = [-1]", f"6: ipc1: cameras[0].cpus: [-1] is not allowed; allowed: {NUMBERS}"),
        ("", "cpus = 0", f"6: ipc1: cameras[0].cpus: 0 is not allowed; allowed: {NUMBERS}"),
        ("", "cpus = [true]", f"6: ipc1: cameras[0].cpus: [true] is not allowed; allowed: {NUMBERS}"),
        ("affinity = []", "", f'2: workers.affinity: [] is not allowed; allowed: "none", "spread" or {NUMBERS}'),
        (
            'affinity = "auto"',
            "",
            f'2: workers.affinity: "auto" is not allowed; allowed: "none", "spread" or {NUMBERS}',
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, of_all: str, cpus: str, problem: str) -> None:
    path = file(tmp_path, of_all, cpus)
    assert [str(each) for each in check(path)] == [f"{path}:{problem}"]
