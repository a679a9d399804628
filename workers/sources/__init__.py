"""Where the pictures of a stream come from."""

from .base import PictureSource, SourceError
from .filelive import FilePassThrough, FilePictures
from .frameclock import FrameClock
from .testlive import TestPattern

__all__ = ["FilePassThrough", "FilePictures", "FrameClock", "PictureSource", "SourceError", "TestPattern"]
