"""The law of the rooms (docs/architecture.md): who may import whom, and who may import what."""

from pathlib import Path

import pytest

from tests.rules.sources import ROOMS, files, importers, imports

ALLOWED = {
    "core": {"core"},
    "supervisor": {"core", "supervisor"},
    "workers": {"core", "workers"},
    "bench": {"core", "bench"},
}
# The command line starts the load tool, which is a program of its own.
DOORS = {("supervisor/cli.py", "camfleet.bench.load.main")}

# They measure all rooms by all means, as tests test them.
MEASURES = ("bench/micro/", "bench/macro/")

# Module, and the places (files, or folders that end with "/") that alone may import it.
EXCLUSIVE = [
    ("av", ["workers/sources/", "workers/encoders/"]),
    ("Xlib", ["workers/sources/x11/"]),
    ("zmq", ["supervisor/arbiter/bus.py", "workers/bus.py"]),
    ("OpenSSL", ["supervisor/tls/", "supervisor/examine/"]),
    ("cryptography", ["supervisor/tls/", "supervisor/certs/", "supervisor/examine/"]),
    (
        "socket",
        [
            "core/net/",
            "supervisor/",
            "workers/adopt.py",
            "workers/forkserver.py",
            "workers/rehearsal.py",
            "workers/sources/netlive/",
            "workers/sources/rtsplive/",
            "workers/succession/",
            "bench/",
        ],
    ),
    ("multiprocessing", []),
    ("pickle", []),
]
# No clock, no descriptors, no threads: bytes and now_ns come in, bytes and events go out.
SANS_IO = ("core/rtsp", "core/sdp", "core/rtp", "core/tls", "core/ring")
CLOCKS_AND_DESCRIPTORS = {"asyncio", "select", "selectors", "signal", "socket", "subprocess", "threading", "time"}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_the_rooms_below_them(room: str) -> None:
    strangers = {
        (path.as_posix(), name)
        for path in files(room)
        if not path.as_posix().startswith(MEASURES)
        for name in imports(path)
        if name.startswith("camfleet.") and name.split(".")[1] not in ALLOWED[room]
    }
    assert {(path, name) for path, name in strangers if not any(name in door for _, door in DOORS)} == set()


@pytest.mark.parametrize(("module", "places"), EXCLUSIVE)
def test_modules_that_only_some_places_may_import(module: str, places: list[str]) -> None:
    strangers = [path for path in importers(module, *ROOMS) if not path.startswith((*places, *MEASURES))]
    assert strangers == []


def test_the_wire_contract_depends_on_nothing_of_ours() -> None:
    for path in files("core/wire"):
        ours = {name for name in imports(path) if name.startswith("camfleet.")}
        assert all(name.startswith("camfleet.core.wire") for name in ours), path
        assert not {"zmq", "av"} & imports(path)


@pytest.mark.parametrize("room", SANS_IO)
def test_protocol_code_has_no_clock_and_no_descriptors(room: str) -> None:
    strangers = {path.as_posix(): sorted(imports(path) & CLOCKS_AND_DESCRIPTORS) for path in files(room)}
    assert {path: names for path, names in strangers.items() if names} == {}
    for path in files(room, suffixes=(".pyx", ".pxd")):
        text = Path(path).read_text()
        assert "clock_gettime" not in text, path
        assert "sendmsg" not in text, path


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    """Of a rule that never fails nothing can be believed."""
    source = tmp_path / "x.py"
    source.write_text("import zmq.asyncio\nfrom camfleet.workers import bus\ndef f():\n    from av import open\n")
    assert {"zmq.asyncio", "camfleet.workers", "camfleet.workers.bus", "av"} <= imports(source)
    cython = tmp_path / "x.pyx"
    cython.write_text("from camfleet.core.net.queue cimport push\ncimport cython\n    import os\n")
    assert imports(cython) == {"camfleet.core.net.queue", "cython", "os"}
    relative = {name for name in imports(Path("supervisor/arbiter/arbiter.py")) if "arbiter" in name}
    assert "camfleet.supervisor.arbiter.bus" in relative
