"""Sources of X11: what can be found without looking at a display."""

from pathlib import Path

import msgspec
import pytest
from camfleet.core.wire import ScreenLive, Source, WindowLive
from camfleet.supervisor.config import ConfigurationError, load

CAMERA = '[[cameras]]\nid = "ipc1"\n[[cameras.streams]]\nid = "stream1"\nsource = {{ {} }}\n'


def source(folder: Path, settings: str) -> Source:
    file = folder / "camfleet.toml"
    file.write_text(CAMERA.format(settings))
    return load(file).cameras[0].streams[0].source


def test_what_a_worker_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")
    keys = str(tmp_path / "keys")
    for settings, expected in (
        ('kind = "screenlive"', ScreenLive()),
        (
            'kind = "screenlive", display = ":7", xauthority = "keys", cursor = false, max_fps = 5, monitor = 2',
            ScreenLive(display=":7", xauthority=keys, cursor=False, max_fps=5, monitor=2),
        ),
        ('kind = "screenlive", monitor = "HDMI-1"', ScreenLive(monitor="HDMI-1")),
        (
            'kind = "screenlive", region = "1280x720+100+50", follow_mouse = true',
            ScreenLive(region=(1280, 720, 100, 50), follow_mouse=True),
        ),
        ('kind = "windowlive", title = "Report", exact = true', WindowLive(title="Report", exact=True)),
        ('kind = "windowlive", id = 0x3a00007, program = "gimp"', WindowLive(id=0x3A00007, program="gimp")),
    ):
        found = source(tmp_path, settings)
        assert found == expected
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Source) == expected


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('kind = "screenlive", display = "left"', 'source.display: "left" is not allowed; allowed: an X display'),
        ('kind = "screenlive", display = ":0;"', "source.display"),
        ('kind = "screenlive", region = "1280*720"', 'region: "1280*720" is not allowed; allowed: a region, as in'),
        ('kind = "screenlive", region = "1280x1"', "source.region"),
        ('kind = "screenlive", monitor = 0', 'monitor: 0 is not allowed; allowed: a name, as in "HDMI-1"'),
        ('kind = "screenlive", monitor = ""', "source.monitor"),
        ('kind = "screenlive", monitor = 1, region = "64x64"', "region: stands beside monitor; allowed: only one"),
        ('kind = "screenlive", follow_mouse = true', "follow_mouse: is without a region"),
        ('kind = "screenlive", max_fps = 0', "max_fps: 0 is not allowed; allowed: a whole number from 1 to 120"),
        ('kind = "screenlive", title = "x"', "title: unknown key"),
        ('kind = "screenlive", xauthority = "none"', "xauthority: /"),
        ('kind = "windowlive"', "source: says of no window that it is meant; allowed: one of id, title, program"),
        ('kind = "windowlive", exact = true, program = "gimp"', "exact: is without a title"),
        ('kind = "windowlive", id = -1', "source.id"),
        ('kind = "windowlive", title = "a\\nb"', "source.title"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, settings: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        source(tmp_path, settings)
    (problem,) = caught.value.problems
    assert problem.line == 5
    assert complaint in str(problem)
