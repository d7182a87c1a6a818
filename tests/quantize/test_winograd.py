"""The transform of F(4×4, 3×3): it is the one that gives convolutions, and its tiles cover the whole padded tensor."""

from __future__ import annotations

import numpy as np

from u2forge.quantize.winograd import STEP, TILE, TRANSFORM, _behind

# G and Aᵀ of Lavin and Gray, section 4.3.
G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
A_TRANSPOSED = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def test_the_transform_gives_a_convolution_of_four_by_four_pixels() -> None:
    random = np.random.default_rng(0)
    kernel, tile = random.normal(size=(3, 3)), random.normal(size=(TILE, TILE))
    direct = [
        [np.sum(kernel * tile[row : row + 3, column : column + 3]) for column in range(STEP)]
        for row in range(STEP)
    ]
    product = (G @ kernel @ G.T) * (TRANSFORM @ tile @ TRANSFORM.T)
    # Float64, numbers around 10.
    np.testing.assert_allclose(A_TRANSPOSED @ product @ A_TRANSPOSED.T, direct, atol=1e-12)


def test_the_tiles_end_at_or_behind_the_last_padded_pixel() -> None:
    for size in range(1, 70):
        covered = 1 + size + _behind(size)
        assert (covered - TILE) % STEP == 0
        # A convolution padded by one needs one zero behind; a whole further tile were too many.
        assert 1 <= _behind(size) <= STEP
