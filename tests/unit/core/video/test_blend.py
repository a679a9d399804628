"""Against the same arithmetic in numpy."""

import numpy as np
import pytest
from camfleet.core.video.blend import blend
from hypothesis import given
from hypothesis import strategies as st

GUARD = 7


@given(height=st.integers(0, 9), width=st.integers(0, 70), seed=st.integers(0, 2**32))
def test_a_part_of_a_plane_and_nothing_beside_it(height: int, width: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    keep = dice.integers(0, 257, (height, width), np.uint16)
    add = dice.integers(0, 65_536 - 255 * keep.astype(np.uint32), (height, width), np.uint32).astype(np.uint16)
    plane = np.full((height + 2, width + 5), GUARD, np.uint8)
    part = plane[1:-1, 2:-3]
    part[:] = dice.integers(0, 256, (height, width), np.uint8)
    wanted = np.pad((part.astype(np.uint32) * keep + add) // 256, ((1, 1), (2, 3)), constant_values=GUARD)
    blend(part, keep, add)
    assert (plane == wanted).all()


@pytest.mark.parametrize("wrong", [(3, 8), (4, 7), (5, 8), (4, 9)])
def test_shapes_that_do_not_go_together_change_nothing(wrong: tuple[int, int]) -> None:
    samples, right, other = np.full((4, 8), GUARD, np.uint8), np.zeros((4, 8), np.uint16), np.zeros(wrong, np.uint16)
    for keep, add in ((right, other), (other, right)):
        with pytest.raises(ValueError, match=rf"{wrong[1]}x{wrong[0]}.*levels for 8x4 samples"):
            blend(samples, keep, add)
    with pytest.raises(ValueError, match="side by side"):
        blend(np.full((4, 16), GUARD, np.uint8)[:, ::2], right, right)
    assert (samples == GUARD).all()
