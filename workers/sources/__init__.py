"""Where the pictures of a stream come from."""

from .base import Feed, PictureSource, Place, SourceError
from .frameclock import FrameClock
from .image import ImageFile
from .kinds import open_pass_through, open_pictures
from .lineup import Lineup
from .overlay import Overlay
from .still import slate
from .tiny import write_tiny_film
from .upstream import UpstreamPassThrough

__all__ = [
    "Feed",
    "FrameClock",
    "ImageFile",
    "Lineup",
    "Overlay",
    "PictureSource",
    "Place",
    "SourceError",
    "UpstreamPassThrough",
    "open_pass_through",
    "open_pictures",
    "slate",
    "write_tiny_film",
]
