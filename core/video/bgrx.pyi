import numpy as np
from numpy.typing import NDArray

def vectors(*, plain: bool | None = None) -> str:
    """The vector instructions that conversions use from now on: "AVX2" or "none".

    `plain`, for tests and comparisons: True to do without, False to use again what the processor has.
    """

def i420_from_bgrx(pixels: NDArray[np.uint8] | memoryview | bytes, stride: int, samples: NDArray[np.uint8]) -> None:
    """Convert to YUV 4:2:0, BT.709 of limited range, without the GIL.

    `pixels` are B, G, R and an ignored byte, `stride` bytes to a line; what is more than the picture is left out.
    `samples` has two dimensions: the lines of luma, then Cb, then Cr, as VideoFrame.to_ndarray gives them; so its shape
    is the picture's size. Raises ValueError for shapes that do not go together.
    """
