"""Descriptions of cameras and servers, and of those who mean ill."""

import time
from base64 import b64encode
from typing import Any

import pytest
from camfleet.core.sdp import describe
from camfleet.core.sdp.parse import MAX_PARAMETER_SETS_SIZE, DescriptionError, VideoTrack, media_controls, parse_video

from tests.kit.access_units import PPS, SPS

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
SETS = f"{b64encode(SPS).decode()},{b64encode(PPS).decode()}"


def video(*lines: str, media: str = "m=video 0 RTP/AVP 96", rtpmap: str = "a=rtpmap:96 H264/90000") -> bytes:
    return (HEAD + "\r\n".join([media, rtpmap, *lines, ""])).encode()


def test_our_own() -> None:
    text = describe(
        origin_id=1,
        version=1,
        name="x",
        codec="h264",
        parameter_sets=(SPS, PPS),
        payload_type=96,
        fps=25,
        width=0,
        height=0,
        bitrate_bps=0,
    )
    assert parse_video(text.encode()) == VideoTrack("h264", 96, "trackID=0", (SPS, PPS))


@pytest.mark.parametrize(
    ("description", "track"),
    [
        (video(), ("h264", 96, "", ())),
        (video(rtpmap="a=rtpmap:96 h264/90000"), ("h264", 96, "", ())),
        (video(rtpmap="a=rtpmap:96 H265/90000/1"), ("h265", 96, "", ())),
        (video("a=control:rtsp://h/t"), ("h264", 96, "rtsp://h/t", ())),
        (video("a=control:"), ("h264", 96, "", ())),
        (video("a=control: track1 "), ("h264", 96, "track1", ())),
        (video(f"a=fmtp:96 packetization-mode=1; sprop-parameter-sets={SETS}; x"), ("h264", 96, "", (SPS, PPS))),
        (video(f"a=fmtp:96 SPROP-PARAMETER-SETS={SETS.rstrip('=')}"), ("h264", 96, "", (SPS, PPS))),
        (video(f"a=fmtp:97 sprop-parameter-sets={SETS}"), ("h264", 96, "", ())),
        (video(f"a=fmtp:96 sprop-parameter-sets=*,{SETS},,="), ("h264", 96, "", (SPS, PPS))),
        (video("a=fmtp:96 sprop-parameter-sets=" + b64encode(b"\0\0\0\1" + SPS).decode()), ("h264", 96, "", (SPS,))),
        (
            video("a=fmtp:96 sprop-sps=QgE=;sprop-pps=RAE=;sprop-vps=QAE=", rtpmap="a=rtpmap:96 H265/90000"),
            ("h265", 96, "", (b"\x40\x01", b"\x42\x01", b"\x44\x01")),
        ),
        (video(media="m=video 5004/2 RTP/AVP/TCP 96 97"), ("h264", 96, "", ())),
        (video().replace(b"\r\n", b"\n"), ("h264", 96, "", ())),
        # audio, data and a codec that we do not know go before it
        (
            HEAD.encode() + b"m=audio 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:no\r\n"
            b"m=application 0 RTP/AVP 107\r\nm=video 0 RTP/AVP 26\r\n" + video("a=control:yes")[len(HEAD) :],
            ("h264", 96, "yes", (), 3),
        ),
        (b"\xff\xfe\0" + video(), ("h264", 96, "", ())),
    ],
)
def test_tracks(description: bytes, track: tuple[Any, ...]) -> None:
    """`track`: the fields of a VideoTrack."""
    assert parse_video(description) == VideoTrack(*track)


def test_controls_of_all_media() -> None:
    media = b"m=audio 0 RTP/AVP 97\r\na=control: a \r\nm=text 0 RTP/AVP 98\r\n"
    assert media_controls(HEAD.encode() + media + video("a=control:rtsp://h/v")[len(HEAD) :]) == ("a", "", "rtsp://h/v")
    assert media_controls(HEAD.encode()) == ()
    with pytest.raises(DescriptionError, match="over 16 media"):
        media_controls(b"m=x\n" * 17)


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (b"", "has no video"),
        (HEAD.encode() * 1000, "has no video"),
        (b"\0" * 65_536, "has no video"),
        (video(media="m=audio 0 RTP/AVP 96"), "has no video"),
        (video(media="m=video"), "has no video"),
        (video(media="m=video 0 RTP/AVP 999", rtpmap="a=rtpmap:999 H264/90000"), "payload type over 127"),
        (video(rtpmap="a=rtpmap:96 H264/0"), "clock rate of 0"),
        (video(rtpmap="a=rtpmap:96 H264/48000"), "clock rate of 48000"),
        (video(rtpmap="a=rtpmap:96 JPEG/90000"), "but JPEG"),
        (video(rtpmap=""), "but payload type 96"),
        (video(media="m=video 0 RTP/AVP 26"), "but payload type 26"),
        (video("a=fmtp:96 packetization-mode=2"), "interleaved"),
        (video("a=fmtp:96 sprop-max-don-diff=1", rtpmap="a=rtpmap:96 H265/90000"), "out of order"),
    ],
)
def test_what_cannot_be_played(description: bytes, reason: str) -> None:
    with pytest.raises(DescriptionError, match=reason):
        parse_video(description)


def test_a_thousand_media_and_megabytes_of_parameter_sets_cost_nothing() -> None:
    with pytest.raises(DescriptionError, match=r"but JPEG, JPEG, JPEG, JPEG$"):
        parse_video(HEAD.encode() + b"m=video 0 RTP/AVP 96\na=rtpmap:96 JPEG/90000\n" * 1000)
    huge = b64encode(b"\x67" * MAX_PARAMETER_SETS_SIZE).decode()
    assert parse_video(video(f"a=fmtp:96 sprop-parameter-sets={huge},{SETS}")).parameter_sets == ()
    assert (
        parse_video(video("a=fmtp:96 sprop-parameter-sets=" + ",".join(["Z0I="] * 5000))).parameter_sets
        == (b"\x67\x42",) * 16
    )


def test_blanks_cost_what_other_letters_do() -> None:
    began_s = time.process_time()
    assert media_controls(video("a=control:" + 8000 * " " + "x y")) == ("",)
    assert time.process_time() - began_s < 0.05  # of a quadratic time it would be 0.3
