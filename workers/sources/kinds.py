"""One line for each kind of source: what reads it."""

from functools import partial

from camfleet.core.wire import (
    FileLive,
    Image,
    NetLive,
    Publish,
    RTSPLive,
    ScreenLive,
    Source,
    TestLive,
    VideoSpec,
    Webcam,
    WindowLive,
)

from . import webcam, x11
from .base import Feed, PictureSource, Place
from .image import ImageFile, ImagePictures
from .netlive import NetSession
from .playlist import open_file_pass_through, open_file_pictures
from .publish import PublishSession
from .rtsplive import RTSPSession
from .shared import SharedPictures
from .testlive import TestPattern
from .upstream import PICTURE_STALE_NS, OpenSession, UpstreamCapture, UpstreamPassThrough


def open_pass_through(source: Source, place: Place, start_ns: int) -> Feed:
    """The source's own access units, the first due at `start_ns`. For kinds that have some (`passes_through`)."""
    if isinstance(source, FileLive):
        return open_file_pass_through(source, place.lineup, start_ns)
    return UpstreamPassThrough(source, _session(source), place, start_ns)


def open_pictures(source: Source, place: Place, video: VideoSpec, start_ns: int) -> PictureSource:
    """The source's pictures in the size of `video`, from `start_ns` on."""
    match source:
        case TestLive():
            return TestPattern(place.title, video.width, video.height, place.unix_offset_ns)
        case FileLive():
            return open_file_pictures(source, place.lineup, video.width, video.height, start_ns)
        case Image():
            return ImagePictures(ImageFile(source.path, video.width, video.height))
        case ScreenLive() | WindowLive():
            return SharedPictures(source, x11.opener(source), video, start_ns)
        case Webcam():
            return SharedPictures(source, webcam.opener(source), video, start_ns)
    session = _session(source)
    return SharedPictures(source, lambda _wait: UpstreamCapture(source, session), video, start_ns, PICTURE_STALE_NS)


def _session(source: Source) -> OpenSession:
    match source:
        case RTSPLive():
            return partial(RTSPSession, source)
        case NetLive():
            return partial(NetSession, source)
        case Publish():
            return partial(PublishSession, source)
    raise AssertionError(source)
