"""A stream as a URL's parameters ask for it: the same source, encoded otherwise."""

from camfleet.core.rtsp import Parameters
from camfleet.core.wire import StreamSpec, VideoSpec
from msgspec.structs import replace

from ..codecs import Description

MIN_SIZE, MAX_SIZE, MAX_GOP = 64, 4096, 3600  # of a stream; supervisor/config/video.py

ALWAYS_PIXELS = 1920 * 1080  # may be asked for


def as_asked(stream: StreamSpec, parameters: Parameters) -> StreamSpec:
    """Equal to `stream` when that is what is asked for. What is not asked for is as the stream has it; one that passes
    through has the defaults, as nobody knows its source's before it is opened.

    The other side of a size follows the picture's shape, and key frames come as many seconds apart as in the stream.
    """
    if not parameters:
        return stream
    video = stream.video or VideoSpec()
    width, height, fps = parameters.width, parameters.height, parameters.fps or video.fps
    if width and not height:
        height = _even(width * video.height / video.width)
    elif height and not width:
        width = _even(height * video.width / video.height)
    if parameters.codec and parameters.codec != video.codec:
        video = replace(video, codec=parameters.codec, encoder="auto", profile="")  # those are of the other codec
    asked = replace(
        video,
        width=width or video.width,
        height=height or video.height,
        fps=fps,
        bitrate_bps=parameters.bitrate_bps or video.bitrate_bps,
        gop=min(max(1, round(video.gop * fps / video.fps)), MAX_GOP),
    )
    return replace(stream, video=asked)


def too_large(asked: StreamSpec, own: VideoSpec | Description | None) -> str:
    """Why such a variant is not made: any viewer may ask, and more pixels than the stream has show nothing more.

    `own`: what is known of the stream's picture.
    """
    size = (asked.video.width, asked.video.height) if asked.video else (0, 0)
    if size[0] * size[1] <= max(ALWAYS_PIXELS, own.width * own.height if own else 0):
        return ""
    return f"{size[0]}x{size[1]} is larger than the stream's picture, and than 1920x1080"


def _even(size: float) -> int:
    return min(max(MIN_SIZE, 2 * round(size / 2)), MAX_SIZE)
