"""Media files made at run time. Each picture is of one luma that tells its number, and survives any encoder."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

STEP = 4  # of luma from one picture to the next
PICTURES = 50  # numbers that can be told apart between black and white


def flat_picture(number: int, width: int, height: int, pixel_format: str = "yuv420p") -> VideoFrame:
    buffer = np.full((height * 3 // 2, width), 128, np.uint8)
    buffer[:height] = 20 + STEP * (number % PICTURES)
    return VideoFrame.from_ndarray(buffer, pixel_format)


def noise_picture(number: int, width: int, height: int, pixel_format: str = "yuv420p") -> VideoFrame:
    """What costs an encoder all the bits it has."""
    samples = np.random.default_rng(number).integers(16, 235, (height * 3 // 2, width), np.uint8)
    return VideoFrame.from_ndarray(samples, pixel_format)


def number_of(picture: VideoFrame) -> int:
    luma = np.asarray(picture.to_ndarray())[: picture.height].mean()
    return round((float(luma) - 20) / STEP)


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pictures: int = 45,
    gop: int = 15,
    b_frames: int = 0,
    fps: int | Fraction = 30,
    size: tuple[int, int] = (160, 96),
    pixel_format: str = "yuv420p",
    pixel_aspect: int | Fraction = 1,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    stamps: list[int] | None = None,
    paint: Callable[[int, int, int, str], VideoFrame] = flat_picture,
) -> Path:
    """The suffix of `path` says the container. `stamps`: presentation times in frames instead of 0, 1, 2, ..."""
    width, height = size
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        stream.codec_context.thread_count = 1
        stream.codec_context.options = _defaults(codec, gop, b_frames) | (options or {})
        for number in range(pictures):
            picture = paint(number, width, height, pixel_format)
            picture.pict_type = PictureType.NONE
            picture.pts, picture.time_base = (stamps or range(pictures))[number], 1 / Fraction(fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _defaults(codec: str, gop: int, b_frames: int) -> dict[str, str]:
    if codec == "libx264":
        return {"bf": str(b_frames), "sc_threshold": "0"}
    if codec == "libx265":  # with open GOPs, as it has them when nobody says otherwise
        settings = f"log-level=none:pools=none:scenecut=0:b-adapt=0:keyint={gop}:min-keyint={gop}:bframes={b_frames}"
        return {"preset": "ultrafast", "x265-params": settings}
    return {}


def encode_noise(codec: str, options: dict[str, str], pictures: int = 40) -> list[bytes]:
    """Access units from one packet to many."""
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 320, 240, "yuv420p", Fraction(30)
    encoder.options = options
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add("testsrc2", "size=320x240:rate=30"),
        graph.add("noise", "alls=40:allf=t"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    units = []
    for _ in range(pictures):
        picture = graph.pull()
        assert isinstance(picture, VideoFrame)
        picture.pict_type = PictureType.NONE
        units += [bytes(packet) for packet in encoder.encode(picture)]
    return units + [bytes(packet) for packet in encoder.encode(None)]


def units_of(film: Path) -> list[bytes]:
    """The access units of its video, as Annex B."""
    with av.open(str(film)) as container:
        track = container.streams.video[0]
        annex_b = BitStreamFilterContext(f"{track.codec.name}_mp4toannexb", track)
        return [bytes(each) for packet in container.demux(track) if packet.size for each in annex_b.filter(packet)]


def write_access_units(path: Path, units: list[bytes], *, fps: int = 30, codec: str = "libx264") -> Path:
    """Any bytes as the video of a TS file."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.options = _defaults(codec, 1, 0)
        for number, unit in enumerate(units):
            packet = Packet(unit)
            packet.stream = stream
            packet.time_base = Fraction(1, fps)
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def decode(
    units: list[bytes], times: list[int] | None = None, *, checked: bool = True, codec: str = "h264"
) -> list[VideoFrame]:
    """What a player makes of access units, in the order of showing; `checked`: raises on damage.

    Each picture's pts is its unit's of `times`.
    """
    decoder = av.CodecContext.create({"h264": "h264", "h265": "hevc"}[codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"} if checked else {}
    pictures: list[VideoFrame] = []
    for number, unit in enumerate(units):
        packet = Packet(unit)
        packet.pts = times[number] if times else number
        pictures += decoder.decode(packet)
    return pictures + decoder.decode(None)
