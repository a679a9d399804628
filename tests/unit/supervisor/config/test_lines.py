import tomllib

import pytest
from camfleet.supervisor.config.lines import MAX_STATEMENT_LINES, Location, locate

TEXT = '''\
top = 1
# [not.a.table]
[server]
host = """
rtsp_port = 1
[fake]
"""
list = [
  1, # one
  { a = 1 },
]
dotted.key = 2
"quoted key" = 3

[[cameras]]
id = "a"
[cameras.tls]
key = "k"
[[cameras.streams]]
id = "s"
[[cameras.streams]]
source = { kind = "x" }
[[cameras]]
[[cameras.streams]]
video.fps = 3
[cameras.streams.deep]
x = 1
'''

EXPECTED: dict[Location, int] = {
    ("top",): 1,
    ("server",): 3,
    ("server", "host"): 4,
    ("server", "list"): 8,
    ("server", "list", 1, "a"): 8,
    ("server", "dotted", "key"): 12,
    ("server", "quoted key"): 13,
    ("cameras", 0): 15,
    ("cameras", 0, "id"): 16,
    ("cameras", 0, "tls"): 17,
    ("cameras", 0, "tls", "key"): 18,
    ("cameras", 0, "streams", 0): 19,
    ("cameras", 0, "streams", 0, "id"): 20,
    ("cameras", 0, "streams", 1): 21,
    ("cameras", 0, "streams", 1, "source", "kind"): 22,
    ("cameras", 1): 23,
    ("cameras", 1, "streams", 0): 24,
    ("cameras", 1, "streams", 0, "video", "fps"): 25,
    ("cameras", 1, "streams", 0, "deep", "x"): 27,
}


def test_locate() -> None:
    tomllib.loads(TEXT)
    found = locate(TEXT)
    assert EXPECTED.items() <= found.items()
    assert not any("fake" in location or "rtsp_port" in location for location in found)


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n", "a = 1"])
def test_small_texts(text: str) -> None:
    assert locate(text) == ({("a",): 1} if text.startswith("a") else {})


def test_an_odd_line_separator_inside_a_string_is_none() -> None:
    assert locate('a = "x\u2028y"\nb = 1\n') == {("a",): 1, ("b",): 2}


def test_a_very_long_statement_ends_the_search() -> None:
    text = "a = 1\nb = [\n" + "1,\n" * MAX_STATEMENT_LINES + "]\nc = 1\n"
    assert locate(text) == {("a",): 1}
    assert locate(text.replace("1,\n", "", 1))["c",] == MAX_STATEMENT_LINES + 3
