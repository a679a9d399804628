"""Request URLs: which camera, stream and track a client means, in every form that clients write.

    rtsp[s]://[user[:password]@]host[:port] / <camera>[-<stream>] [/ <kind>] [/ trackID=<n>] [? query [/ trackID=<n>]]

Ids have no slash and a camera id has no dash. FFmpeg puts the track behind the query, GStreamer into the path.
"""

import re
from dataclasses import dataclass, field

# RFC 3986 characters. What passes may stand in a reply, so nothing else does.
_URL = re.compile(
    r"(?:(?P<scheme>rtsps?)://(?:[^/?#@]*@)?(?P<host>\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::[0-9]{0,5})?)?"
    r"(?P<path>/[^?#]*|(?=[?#]|$))(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.IGNORECASE,
)
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRACK = re.compile(r"trackid=([0-9]{0,3}|.*)", re.IGNORECASE)
_USER_INFORMATION = re.compile(r"(?<=://)[^/?#@]*@")


@dataclass(frozen=True, slots=True)
class StreamPath:
    """The parts of a request URL; None where it does not say. `stray`: it says more than a stream's URL can."""

    camera: str | None = None
    stream: str | None = None
    kind: str | None = None
    track: str | None = None
    stray: bool = False
    base: str = field(default="", compare=False)  # the URL up to the kind, as this client writes it, without a slash
    url: str = field(default="", compare=False)  # the whole URL without user and password

    @classmethod
    def parse(cls, url: str) -> "StreamPath | None":
        """None: not a URL of RTSP (answer 400). An absolute path alone is accepted."""
        raise NotImplementedError
