"""Where a stream's pictures come from: one struct for each kind, whose tag is the last part of the stream's URL."""

from typing import ClassVar, get_args

import msgspec


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all kinds."""

    # It has access units of its own, which go out as they are unless the stream has `video` settings.
    passes_through: ClassVar[bool] = False
    # One process has it at a time: a worker that takes over cannot try it before.
    is_exclusive: ClassVar[bool] = False
    # Clients bring it (RFC 2326 10.3).
    is_published: ClassVar[bool] = False


class TestLive(SourceSpec, frozen=True, tag="testlive"):
    """A test pattern with wall clock and frame number."""

    __test__ = False  # pytest would collect the name


class FileLive(SourceSpec, frozen=True, kw_only=False, tag="filelive"):
    """A media file, or several, in an endless loop; paths are absolute."""

    passes_through = True
    path: str = ""  # a file, or a folder of them
    paths: tuple[str, ...] = ()  # instead of it
    shuffle: bool = False
    start_offset_s: float = 0.0  # into the first file, in the first round


class Image(SourceSpec, frozen=True, tag="image"):
    """A PNG or JPEG file; the path is absolute."""

    path: str


class X11Spec(SourceSpec, frozen=True):
    """What desktops and windows have in common."""

    display: str = ":0"
    xauthority: str = ""  # absolute; "": the usual file
    cursor: bool = True
    max_fps: int = 60


class ScreenLive(X11Spec, frozen=True, tag="screenlive"):
    """A desktop, or one monitor of it, or a region."""

    monitor: int | str | None = None  # counted from 1, or its name
    region: tuple[int, int, int, int] | None = None  # width, height, x, y
    follow_mouse: bool = False  # the region does


class WindowLive(X11Spec, frozen=True, tag="windowlive"):
    """The window of which all that is given here is true."""

    id: int = 0
    title: str = ""
    exact: bool = False  # `title` is all of it, not a part
    program: str = ""


class Webcam(SourceSpec, frozen=True, tag="webcam"):
    """A camera of this machine (Video4Linux). What is 0 or empty is chosen when it is opened."""

    is_exclusive = True
    device: str  # "/dev/video0", or a part of the camera's name
    width: int = 0
    height: int = 0
    fps: int = 0
    format: str = ""  # FFmpeg's name of a pixel format or codec


class UpstreamSpec(SourceSpec, frozen=True):
    """What all have in common that are pulled from elsewhere."""

    passes_through = True
    url: str  # without user and password
    user: str = ""  # empty: no login
    password: str = ""
    basic: bool = False  # the password may be sent in clear, outside of TLS
    verify: bool = True  # the server's certificate, unless there is a fingerprint
    ca_file: str = ""  # empty: the system's authorities
    fingerprint: str = ""  # SHA-256 of the only certificate that is accepted, in lower-case hex

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # the password is nobody's business, and the path may be a key


class RTSPLive(UpstreamSpec, frozen=True, tag="rtsplive"):
    """An upstream camera, pulled by RTSP: rtsp:// or rtsps://."""

    udp: bool = False


class NetLive(UpstreamSpec, frozen=True, tag="netlive"):
    """A stream of another protocol than RTSP: rtmp, rtmps, http, https or udp."""


class Publish(SourceSpec, frozen=True, tag="publish"):
    """What a client pushes."""

    passes_through = True
    is_exclusive = True
    is_published = True
    user: str  # who alone may
    stream: str = ""  # as which one of the camera


Source = TestLive | FileLive | Image | ScreenLive | WindowLive | Webcam | RTSPLive | NetLive | Publish
KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Source))
