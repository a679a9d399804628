"""What a client is about to send (RFC 2326 10.3): its session description, and how the media in it are named."""

from dataclasses import dataclass

from camfleet.core.sdp.parse import VideoTrack, media_controls, parse_video

MAX_DESCRIPTION_SIZE = 8 * 1024  # of clients about 1 KB; it moves with the client, in one datagram


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
        to all of that, a query too: streamid=0 and stream=0.
        """
        for track, control in enumerate(self.controls):
            if control in ("", "*"):
                continue
            if url == control:
                return track, self.url
            if url.endswith("/" + control):
                return track, url[: -len(control) - 1]
        return None
