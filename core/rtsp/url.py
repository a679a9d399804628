"""Request URLs: which camera, stream and track a client means, in every form that clients write.

    rtsp[s]://[user[:password]@]host[:port] / <camera>[-<stream>] [/ <kind>] [/ trackID=<n>] [? query [/ trackID=<n>]]

Ids have no dash. FFmpeg puts the track behind the query, GStreamer into the path.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

# Only characters of RFC 3986, as parts of it stand in our replies.
_URL = re.compile(
    r"(?:([Rr][Tt][Ss][Pp][Ss]?)://(?:[^/?#]*@)?((?:\[[0-9A-Za-z:.%_-]+\]|[A-Za-z0-9._-]*)(?::[0-9]{0,5})?))?"
    r"([A-Za-z0-9\-._~:/\[\]@!$&'()*+,;=%]*)(\?[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*)?(?:#.*)?"
)
_NAMES = re.compile(r"([A-Za-z0-9_]{1,32})(?:-([A-Za-z0-9_]{1,32}))?")
_KIND = re.compile(r"[a-z0-9]{1,32}")
_TRACK = re.compile(r"trackID=(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class StreamPath:
    """The parts of a request URL, None where it does not say. `stray`: it is no stream's URL of ours."""

    camera: str | None = None
    stream: str | None = None
    kind: str | None = None
    track: str | None = None
    stray: bool = False
    query: str = field(default="", compare=False)  # without the track
    base: str = field(default="", compare=False)  # as this client writes it, up to the stream; no slash at the end
    url: str = field(default="", compare=False)  # as this client writes it, all, less user and password

    @classmethod
    def parse(cls, url: str) -> "StreamPath | None":
        """None: not a URL of RTSP. `*` names nothing; an absolute or relative path alone is accepted (digest uri)."""
        if url == "*":
            return cls(url=url)
        found = _URL.fullmatch(url)
        if found is None:
            return None
        scheme, authority, path, query = found.groups("")
        if scheme:
            origin = f"{scheme}://{authority}"
            if path and not path.startswith("/"):
                return None
        elif "://" in path:
            return None
        else:
            origin = ""
        segments = [unquote(segment) for segment in path.split("/") if segment]
        head, *rest = query[1:].rstrip("/").split("/")
        tail = [unquote(segment) for segment in rest[-1:]]
        track = None
        for place in (tail, segments):
            if place and (named := _TRACK.fullmatch(place[-1])):
                track = named[1]
                place.pop()
                break
        whole = origin + path + query
        asked = "/".join([head, *rest[:-1], *tail])
        if not segments:
            return cls(track=track, url=whole)
        named = _NAMES.fullmatch(segments[0])
        kind = segments[1] if len(segments) > 1 else None
        if named is None or len(segments) > 2 or (kind is not None and not _KIND.fullmatch(kind)):
            return cls(camera=named[1] if named else None, track=track, stray=True, url=whole)
        return cls(named[1], named[2], kind, track, False, asked, "/".join([origin, *segments]), whole)
