from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import check_left_alone, graph, refusal

from small_networks import random_batch, run_reference
from u2forge.passes.embed_preprocessing import EmbedPreprocessing
from u2forge.profiles import MEAN_RGB, STD_RGB

TEXT = """(float[N, 3, H, W] image) => (float[N, 2, H, W] y) {
    y = Conv <pads = [1, 1, 1, 1]> (image, w)
}"""


def network() -> ir.Model:
    return graph(TEXT, w=random_batch(2, 3, 3, 3))


def pictures() -> np.ndarray:
    """A bright one, a dark one, a black one, a white one, one where a single pixel is 1."""
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    batch[1] //= 5
    batch[2] = 0
    batch[3] = 255
    batch[4] = 0
    batch[4, 2, 3, 1] = 1
    return batch


def normalized(batch: np.ndarray) -> np.ndarray:
    """Upstream's ToTensorLab in double precision, a picture at a time; a black one is not divided."""
    result = []
    for picture in batch.astype(np.float64):
        scaled = picture / picture.max() if picture.max() > 0 else picture
        result.append(((scaled - MEAN_RGB) / STD_RGB).transpose(2, 0, 1))
    return np.stack(result).astype(np.float32)


def test_same_numbers_as_normalising_outside() -> None:
    plain, embedded = network(), network()
    assert EmbedPreprocessing()(embedded).modified
    (expected,) = run_reference(plain, {"image": normalized(pictures())})
    (found,) = run_reference(embedded, {"image": pictures()})
    assert np.isfinite(found).all()
    # The border too: zero padding comes after the normalisation, as upstream's does.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_input_is_8_bit_rgb() -> None:
    model = network()
    EmbedPreprocessing()(model)
    (value,) = model.graph.inputs
    assert (value.name, value.dtype, str(value.shape)) == ("image", ir.DataType.UINT8, "[N,H,W,3]")


def test_a_graph_with_such_an_input_is_left_alone() -> None:
    model = network()
    EmbedPreprocessing()(model)
    check_left_alone(EmbedPreprocessing(), model)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) { y = Abs(x) }", "x FLOAT[1,4,8,8]"),
        ("(float16[1, 3, 8, 8] x) => (float16[1, 3, 8, 8] y) { y = Abs(x) }", "x FLOAT16[1,3,8,8]"),
    ],
)
def test_other_inputs_are_refused(text: str, found: str) -> None:
    message = refusal(EmbedPreprocessing(), graph(text))
    assert "expected one input float32 (N, 3, H, W), in operator set 18 or later" in message
    assert f"found {found}, in operator set 18" in message
