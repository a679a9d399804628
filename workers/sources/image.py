"""A PNG or JPEG file as a picture that does not change."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image, ImageOps

from .base import SourceError
from .letterbox import Letterbox
from .mediafile import MAX_PIXELS, check_regular
from .still import StillPicture

MAX_BYTES = 64 * 1024 * 1024
FORMATS = ("PNG", "JPEG")
Image.preinit()  # else a worker imports the formats for itself


def open_image(path: str, width: int, height: int) -> StillPicture:
    """As large as it fits, with bars beside it. Raises SourceError."""
    check_regular(path)
    if (size := Path(path).stat().st_size) > MAX_BYTES:
        raise SourceError(f"{path} has {size} bytes, over the limit of {MAX_BYTES}", shown="the image is too large")
    try:
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
