"""What a client is about to send (RFC 2326 10.3): its session description, and how the media in it are named."""

import re
from dataclasses import dataclass

from camfleet.core.sdp.parse import VideoTrack, media_controls, parse_video

MAX_DESCRIPTION_SIZE = 8 * 1024  # of clients about 1 KB; it moves with the client, in one datagram
_ORIGIN = re.compile(r"rtsps?://[^/?]*", re.IGNORECASE)
_NO_NAMES = ("/", "/*")


@dataclass(frozen=True, slots=True)
class Announcement:
    stream: str
    url: str  # as in the request
    description: bytes
    video: VideoTrack  # the one that is taken; other media may be set up, and what comes of them is dropped
    controls: tuple[str, ...]  # of all media, in order; empty: there is none

    @classmethod
    def read(cls, stream: str, url: str, description: bytes) -> "Announcement":
        """Raises DescriptionError when nothing in it can be forwarded."""
        return cls(stream, url, description, parse_video(description), media_controls(description))

    def track_of(self, url: str) -> tuple[int, str] | None:
        """Which of the media a SETUP means, and the URL less that; None: it names none of them.

        RFC 2326 C.1.1: the attribute is a URL, or one relative to what was announced. FFmpeg and GStreamer append it
        to all of that, a query too: streamid=0 and stream=0. Others put the query, or a slash, behind it. Of an
        absolute one the host is not looked at: clients leave out user and password, and write the port or do not.
        """
        for asked in (url.rstrip("/"), url.partition("?")[0].rstrip("/")):
            place = _place(asked)
            for track, control in enumerate(self.controls):
                name = _place(control)
                if name in _NO_NAMES:
                    continue
                if place == name:
                    if _ORIGIN.match(control):
                        return track, self.url
                    continue  # it is the camera's name, too
                if asked.endswith(name):
                    return track, asked.removesuffix(name)
        return None

    @property
    def has_names(self) -> bool:
        return any(_place(control) not in _NO_NAMES for control in self.controls)


def _place(url: str) -> str:
    """Path and query: from a slash on, and with none at the end."""
    return "/" + _ORIGIN.sub("", url, count=1).strip("/")
