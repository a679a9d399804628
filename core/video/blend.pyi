import numpy as np
from numpy.typing import NDArray

def blend(samples: NDArray[np.uint8], keep: NDArray[np.uint16], add: NDArray[np.uint16]) -> None:
    """`samples = (samples * keep + add) / 256`, in place and without the GIL; who gives levels sees to it that no sum
    is over 65535.

    All have the same two dimensions. `samples` may be a part of a larger plane, `keep` and `add` are contiguous. Raises
    ValueError for shapes that do not go together.
    """
