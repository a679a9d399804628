"""StreamPath: every form in which clients write a stream's URL."""

import pytest
from camfleet.core.rtsp import StreamPath

FULL = StreamPath("ipc1", "stream1", "testlive")
TRACK = StreamPath("ipc1", "stream1", "testlive", "0")
HOST = "rtsp://192.0.2.7:8554"

PATHS = [
    (f"{HOST}/ipc1-stream1/testlive", FULL),
    (f"{HOST}/ipc1-stream1", StreamPath("ipc1", "stream1")),
    (f"{HOST}/ipc1", StreamPath("ipc1")),
    (f"{HOST}/ipc1/", StreamPath("ipc1")),
    (f"{HOST}/ipc1-stream1/testlive/", FULL),
    (f"{HOST}//ipc1-stream1//testlive//", FULL),
    (f"{HOST}/ipc1-stream1/testlive/trackID=0", TRACK),  # GStreamer
    (f"{HOST}/ipc1-stream1/testlive//trackID=0", TRACK),
    (f"{HOST}/ipc1-stream1/testlive/trackID=0/", TRACK),
    (f"{HOST}/ipc1-stream1/testlive/TrackId=0", TRACK),
    (f"{HOST}/ipc1-stream1/testlive?a=b&c=d", FULL),
    (f"{HOST}/ipc1-stream1/testlive/?a=b", FULL),
    (f"{HOST}/ipc1-stream1/testlive?a=b/trackID=0", TRACK),  # FFmpeg
    (f"{HOST}/ipc1-stream1/testlive?a=/b//trackID=0", TRACK),
    (f"{HOST}/ipc1-stream1/testlive/?/trackID=0", TRACK),
    (f"{HOST}/ipc1-stream1/testlive/trackID=0?a=b", TRACK),
    (f"{HOST}/ipc1-stream1/testlive#x", FULL),
    (f"{HOST}/ipc1-stream1/trackID=0", StreamPath("ipc1", "stream1", None, "0")),
    (f"{HOST}/ipc1/trackID=0", StreamPath("ipc1", None, None, "0")),
    (f"{HOST}/ipc1-stream1/testlive/trackID=", StreamPath("ipc1", "stream1", "testlive", "")),
    (f"{HOST}/ipc1-stream1/testlive/trackID=-1", StreamPath("ipc1", "stream1", "testlive", "-1")),
    (f"{HOST}/ipc1%2Dstream1/%74estlive/track%49D=0", TRACK),
    ("rtsps://camera.example:8322/ipc1-stream1/testlive", FULL),
    ("RTSP://Camera.Example/ipc1-stream1/testlive", FULL),
    ("rtsp://192.0.2.7/ipc1-stream1/testlive", FULL),
    ("rtsp://192.0.2.7:/ipc1-stream1/testlive", FULL),
    ("rtsp://[2001:db8::7]:8554/ipc1-stream1/testlive", FULL),
    ("rtsp://[fe80::1%25eth0]/ipc1-stream1/testlive", FULL),
    ("rtsp://viewer:secret@192.0.2.7/ipc1-stream1/testlive", FULL),
    ("rtsp://viewer:s@cret@192.0.2.7/ipc1-stream1/testlive", FULL),  # VLC does not escape the password
    ("/ipc1-stream1/testlive", FULL),
    ("ipc1-stream1/testlive", FULL),  # Bosch BVMS, as digest uri
    ("*", StreamPath()),
    (HOST, StreamPath()),
    (f"{HOST}/", StreamPath()),
    (f"{HOST}////", StreamPath()),
    (f"{HOST}//trackID=1", StreamPath(track="1")),
    ("/", StreamPath()),
    (f"{HOST}/ipc1-stream1/testlive/more", StreamPath("ipc1", stray=True)),
    (f"{HOST}/ipc1-stream1/trackID=0/testlive", StreamPath("ipc1", stray=True)),
    (f"{HOST}/ipc1-stream1/test.live", StreamPath("ipc1", stray=True)),
    (f"{HOST}/ipc1-", StreamPath(stray=True)),
    (f"{HOST}/-stream1", StreamPath(stray=True)),
    (f"{HOST}/ipc1-stream1-x", StreamPath(stray=True)),
    (f"{HOST}/../../etc/passwd", StreamPath(stray=True)),
    (f"{HOST}/%2e%2e/etc", StreamPath(stray=True)),
    (f"{HOST}/ipc1%2f..%2fipc2", StreamPath(stray=True)),
    (f"{HOST}/ipc1%00", StreamPath(stray=True)),
    (f"{HOST}/ipc1%0d%0aX:", StreamPath(stray=True)),
    (f"{HOST}/%ff%fe", StreamPath(stray=True)),
    (f"{HOST}/%", StreamPath(stray=True)),
    (f"{HOST}/{'c' * 33}", StreamPath(stray=True)),
]

INVALID = [
    "http://192.0.2.7/ipc1",
    "rtspu://192.0.2.7/ipc1",
    "rtsp://192.0.2.7:port/ipc1",
    "rtsp://192.0.2.7:8554ipc1",
    "rtsp://h<x>/ipc1",
    'rtsp://192.0.2.7/ipc1"',
    "rtsp://192.0.2.7/ipc1\\..",
    "rtsp://192.0.2.7/ipc1?`id`",
    "rtsp://192.0.2.7/ipc1\n",
    "rtsp://[::1/ipc1",
]


@pytest.mark.parametrize(("url", "path"), PATHS, ids=[row[0] for row in PATHS])
def test_parts(url: str, path: StreamPath) -> None:
    assert StreamPath.parse(url) == path


@pytest.mark.parametrize(
    ("url", "query"),
    [
        (f"{HOST}/ipc1-stream1/testlive?w=640&h=360", "w=640&h=360"),
        (f"{HOST}/ipc1-stream1/testlive?w=640&h=360/", "w=640&h=360"),
        (f"{HOST}/ipc1-stream1/testlive?w=640&h=360/trackID=0", "w=640&h=360"),
        (f"{HOST}/ipc1-stream1/testlive?w=640&h=360//trackID=0/", "w=640&h=360/"),
        (f"{HOST}/ipc1-stream1/testlive/trackID=0?w=640&h=360", "w=640&h=360"),
        (f"{HOST}/ipc1-stream1/testlive/?w=640&a=b/c", "w=640&a=b/c"),
        (f"{HOST}/ipc1?", ""),
        (f"{HOST}/ipc1", ""),
    ],
)
def test_the_query_without_the_track(url: str, query: str) -> None:
    path = StreamPath.parse(url)
    assert path is not None
    assert path.query == query


@pytest.mark.parametrize("url", INVALID)
def test_not_a_url_of_rtsp(url: str) -> None:
    assert StreamPath.parse(url) is None


@pytest.mark.parametrize(
    ("url", "base", "whole"),
    [
        (f"{HOST}/ipc1/", f"{HOST}/ipc1", f"{HOST}/ipc1/"),
        (f"{HOST}/ipc1-stream1//testlive/trackID=0", f"{HOST}/ipc1-stream1/testlive", None),
        (f"{HOST}/ipc1-stream1/testlive?a=b", f"{HOST}/ipc1-stream1/testlive", None),
        (f"{HOST}/ipc1-stream1?a=b/trackID=0", f"{HOST}/ipc1-stream1", None),
        ("RTSPS://u:p@CAM.example/ipc1", "RTSPS://CAM.example/ipc1", "RTSPS://CAM.example/ipc1"),
        ("rtsp://u:p@x@[::1]:1/ipc1", "rtsp://[::1]:1/ipc1", "rtsp://[::1]:1/ipc1"),
        ("/ipc1", "/ipc1", "/ipc1"),
        (f"{HOST}/..", "", f"{HOST}/.."),
    ],
)
def test_what_we_repeat_is_the_clients_way_to_say_it_without_password(url: str, base: str, whole: str | None) -> None:
    path = StreamPath.parse(url)
    assert path is not None
    assert (path.base, path.url) == (base, whole or url)
