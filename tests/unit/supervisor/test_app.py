"""The composition root without its fork server: ports, and files that change."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from camfleet.supervisor import app, encoders
from camfleet.supervisor.app import Server
from camfleet.supervisor.arbiter import ForkServer, Orders
from camfleet.supervisor.certs.live import LiveCertificates
from camfleet.supervisor.config import ConfigurationError, Settings, load
from camfleet.supervisor.listen import Listener
from camfleet.supervisor.state import StateFolder

from tests.kit.server import free_ports


async def test_a_port_is_closed_when_nobody_accepts_there_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the event loop would still watch the descriptor, whose number is the next socket's."""
    watched = []

    def close(listener: Listener) -> None:
        watched.append(asyncio.get_running_loop().remove_reader(listener._socket))
        listener._socket.close()

    monkeypatch.setattr(Listener, "close", close)
    state = StateFolder(tmp_path)
    state.prepare()
    before, after = free_ports(2)
    settings = msgspec.structs.replace(load(None), hosts=("127.0.0.1",), rtsp_port=before, rtsps="off", rtsps_port=0)
    server = Server(settings, state, ForkServer(), LiveCertificates(state.certs))
    server._accept(server._listeners)
    await asyncio.sleep(0.01)  # some turns of the loop, till it accepts: nothing tells
    await server._reload(lambda: msgspec.structs.replace(settings, rtsp_port=after, cameras=()))
    await asyncio.sleep(0.01)  # and again
    await server.close()
    assert watched == [False, False]


@pytest.mark.parametrize("changed", ["camfleet.toml", "password"])
async def test_a_file_that_changes_after_it_was_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Even before the first look at it."""
    monkeypatch.setattr(app, "FILE_CHECK_INTERVAL_S", 0.01)
    file = tmp_path / "camfleet.toml"
    file.write_text('[[users]]\nname = "guard"\npassword_file = "password"\n')
    (tmp_path / "password").write_text("first\n")
    state = StateFolder(tmp_path / "state")
    state.prepare()
    settings = msgspec.structs.replace(load(file), rtsp_port=0, rtsps="off", rtsps_port=0)
    with (tmp_path / changed).open("a") as opened:
        opened.write("\n")
    server = Server(settings, state, ForkServer(), LiveCertificates(state.certs))
    asked = asyncio.Event()

    def reload() -> Settings:
        asked.set()
        raise ConfigurationError([])

    watching = asyncio.create_task(server._watch(asyncio.Event(), reload))
    async with asyncio.timeout(5):
        await asked.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await server.close()


NVENC = """
[[cameras]]
id = "ipc1"
streams = [{ id = "stream1", source = { kind = "testlive" }, video = { encoder = "nvenc", gop = %d } }]
[[cameras]]
id = "off"
enabled = false
streams = [{ id = "stream1", source = { kind = "testlive" }, video = { encoder = "qsv" } }]
[[cameras]]
id = "ipc2"
streams = [{ id = "stream1", source = { kind = "testlive" }, video = { encoder = "%s" } }]
"""


async def test_a_reload_tries_the_encoders_that_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that cannot be had would take the picture from the readers."""

    def settings(gop: int, encoder: str) -> Settings:
        file = tmp_path / "camfleet.toml"
        file.write_text('[[users]]\nname = "a"\npassword = "x"\n' + NVENC % (gop, encoder))
        return msgspec.structs.replace(load(file), rtsp_port=0, rtsps="off", rtsps_port=0)

    asked: list[list[str]] = []

    async def ask(_module: str, arguments: list[str], _timeout_s: float) -> dict[str, str]:
        asked.append(arguments)
        return dict.fromkeys(arguments, "no driver")

    monkeypatch.setattr(encoders, "ask", ask)
    state = StateFolder(tmp_path / "state")
    state.prepare()
    server = Server(settings(50, "auto"), state, ForkServer(), LiveCertificates(state.certs))
    applied: list[int] = []

    async def apply(orders: Orders) -> None:
        applied.append(len(orders.cameras))

    monkeypatch.setattr(server._arbiter, "apply", apply)
    await server._reload(lambda: settings(25, "auto"))
    assert (asked, applied) == ([], [2])
    await server._reload(lambda: settings(25, "vaapi"))
    assert (asked, applied) == ([["--json", "h264/vaapi"]], [2])
    assert [(record.getMessage(), vars(record)["fields"]) for record in caplog.records] == [
        ("reload_refused", {"reason": 'ipc2-stream1: encoder "vaapi" cannot be used for h264: no driver'})
    ]
    await server.close()
