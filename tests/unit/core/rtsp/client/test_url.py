import pytest
from camfleet.core.rtsp.client import ServerURL


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("rtsp://h/a", ServerURL("rtsp://h/a", False, "h", 554)),
        ("RTSPS://h", ServerURL("rtsps://h", True, "h", 322)),
        ("rtsp://h:8554?x=1&y=/2", ServerURL("rtsp://h:8554?x=1&y=/2", False, "h", 8554)),
        ("rtsps://[2001:db8::7]:1/", ServerURL("rtsps://[2001:db8::7]:1/", True, "2001:db8::7", 1)),
        ("rtsp://u:p%40ss@h/a@b", ServerURL("rtsp://h/a@b", False, "h", 554, "u", "p@ss")),
        ("rtsp://u@h/", ServerURL("rtsp://h/", False, "h", 554, "u", "")),
        ("rtsp://u:a:b@h/", ServerURL("rtsp://h/", False, "h", 554, "u", "a:b")),
        (
            "rtsp://h/user=a_password=b_channel=1.sdp",
            ServerURL("rtsp://h/user=a_password=b_channel=1.sdp", False, "h", 554),
        ),
    ],
)
def test_parts(url: str, parsed: ServerURL) -> None:
    assert ServerURL.parse(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "", "rtsp:", "rtsp://", "rtsp:///x", "http://h/", "file:///etc/shadow", "rtsp://h:0/", "rtsp://h:65536/", "rtsp://h:x/",
        "rtsp://h/a b", "rtsp://h/\n", "rtsp://h/\u00e9", "rtsp://h/#f", "rtsp://" + "h" * 3000, "-i", "concat:rtsp://h/",
        "rtsp://h\x00/", "rtsp://$(id)/",
    ],
)  # fmt: skip
def test_what_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(not rtsp://HOST.*|no port from 1 to 65535)$"):
        ServerURL.parse(url)


def test_nothing_secret_is_shown() -> None:
    url = ServerURL.parse("rtsps://u:secret@h/token=secret")
    assert url.place == "rtsps://h:322"
    assert ServerURL.parse("rtsp://[::1]/").place == "rtsp://[::1]:554"
    assert "u:secret" not in repr(url)
