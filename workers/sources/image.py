"""A PNG or JPEG file as a picture that changes only when the file does."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from camfleet.core.log import Log
from PIL import Image, ImageOps

from ..clockmap import NS_PER_S
from .base import SourceError
from .letterbox import Letterbox
from .mediafile import MAX_PIXELS, check_regular
from .still import StillPicture

log = Log("sources")

LOOK_NS = NS_PER_S  # at whether it has been replaced
MAX_BYTES = 64 * 1024 * 1024
FORMATS = ("PNG", "JPEG")
Image.preinit()  # else a worker imports the formats for itself


def open_image(path: str, width: int, height: int) -> StillPicture:
    """As large as it fits, with bars beside it. Raises SourceError."""
    check_regular(path)
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise SourceError(f"{path} has {size} bytes, over the limit of {MAX_BYTES}", shown="the image is too large")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:  # before anything of it is unpacked
                raise SourceError(
                    f"{path} has {image.width}x{image.height} pixels, over the limit of {MAX_PIXELS}",
                    shown="the image is too large",
                )
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except SourceError:
        raise
    except Exception as error:  # whatever Pillow makes of damaged bytes
        raise SourceError(f"{path} cannot be read as PNG or JPEG: {error}", shown="the image cannot be read") from error
    ground = Image.new("RGBA", upright.size, (0, 0, 0, 255))
    rgb = np.asarray(Image.alpha_composite(ground, upright).convert("RGB"))
    even = rgb[: max(2, rgb.shape[0] & ~1), : max(2, rgb.shape[1] & ~1)]
    frame = VideoReformatter().reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    return StillPicture(Letterbox(width, height).fit(frame, Fraction(1)))


class ImageFile:
    """The picture of a file in one size, and whether it has been replaced: by another file, or where it is."""

    def __init__(self, path: str, width: int, height: int) -> None:
        self._path = path
        self._size = width, height
        self._version = self._look()
        self._look_at_ns = 0
        self._is_broken = False

    def open(self) -> StillPicture:
        """Raises SourceError."""
        return open_image(self._path, *self._size)

    def replaced(self, now_ns: int) -> StillPicture | None:
        """The picture of a file that is another since the last call. One that is half written or broken is none."""
        if now_ns < self._look_at_ns:
            return None
        self._look_at_ns = now_ns + LOOK_NS
        version = self._look()
        if version == self._version:
            return None
        self._version = version  # of before it is read: if it is written meanwhile, the next look finds that
        try:
            picture = self.open()
        except SourceError as error:
            if not self._is_broken:
                log.warning("image_not_replaced", reason=str(error), shown="the picture before it")
            self._is_broken = True
            return None
        self._is_broken = False
        log.info("image_replaced", path=self._path)
        return picture

    def _look(self) -> tuple[int, ...]:
        try:
            status = Path(self._path).stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino


class ImagePictures(StillPicture):
    """Of what is encoded all the time, as with overlays."""

    def __init__(self, file: ImageFile) -> None:
        self._file = file
        super().__init__(file.open().picture(0, 0))

    def picture(self, number: int, capture_ns: int) -> VideoFrame:
        if other := self._file.replaced(capture_ns):
            self._frame = other.picture(number, capture_ns)
        return self._frame
