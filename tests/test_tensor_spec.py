"""TensorSpec: what fits and what the refusal says."""

from __future__ import annotations

import numpy as np
import pytest

from u2forge.errors import InputError
from u2forge.tensor_spec import TensorSpec

SPEC = TensorSpec(name="image", shape=(None, 3, 320, 320), dtype="float32", layout="NCHW")


def test_any_batch_fits() -> None:
    SPEC.check(np.zeros((1, 3, 320, 320), np.float32), where="here")
    SPEC.check(np.zeros((5, 3, 320, 320), np.float32), where="here")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 3, 320, 320), np.float64),
        np.zeros((1, 3, 288, 320), np.float32),
        np.zeros((3, 320, 320), np.float32),
    ],
)
def test_other_arrays_are_refused_with_both_shapes(array: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        SPEC.check(array, where="engine 'x'")
    assert "engine 'x', tensor 'image': expected float32 (any, 3, 320, 320) NCHW" in str(caught.value)
    assert f"found {array.dtype} {array.shape}" in str(caught.value)


def test_sizes_follow_the_layout() -> None:
    spec = TensorSpec(name="image", shape=(4, 288, 512, 3), dtype="uint8", layout="NHWC")
    assert (spec.batch_size, spec.height, spec.width) == (4, 288, 512)
    assert (SPEC.batch_size, SPEC.height, SPEC.width) == (None, 320, 320)
