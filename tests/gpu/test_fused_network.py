"""A lowered network in PyTorch's operators computes what its graph does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import HEIGHT, WIDTH, calibrated, float_graph
from random_graphs import random_operators
from test_lower import without_activation_rounding

from small_networks import TINY, random_arrays, random_batch, run_onnxruntime
from u2forge.errors import InputError
from u2forge.graph.architecture import U2NETP, Architecture, architecture_of
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import lower
from u2forge.native.plan import Kind
from u2forge.passes.recipes import offline_graph
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import quantized_layers

torch = pytest.importorskip("torch")

from u2forge.gpu.fused_network import FusedNetwork  # noqa: E402
from u2forge.gpu.kernel_choice import KernelChoice  # noqa: E402

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnxruntime]

CPU = torch.device("cpu")

# Widths on both sides of whole groups of 16 channels.
UNEVEN = architecture_of(
    "u2net_custom",
    mids=(5, 16, 24, 40, 5, 16, 24, 40, 5, 16, 24),
    outs=(24, 40, 5, 16, 24, 17, 16, 24, 40, 5, 16),
)
# On probabilities; both compute in float32, in different orders, through some sixty layers.
CLOSE = 2e-5


@cache
def offline(architecture: Architecture = TINY, **options: Any) -> ir.Model:
    chosen: dict[str, Any] = {
        "outputs": "d0",
        "batch_size": None,
        "height": 33,
        "width": 47,
        "precision": "force_float32",
        "embed_preprocessing": False,
    } | options
    model = graph_from_arrays(architecture, random_arrays(architecture, batch_norm=True))
    return offline_graph(model, **chosen)


def opened(model: ir.Model, *, dtype: Any = torch.float32, batch_size: int = 1) -> FusedNetwork:
    return FusedNetwork(lower(model), device=CPU, dtype=dtype, batch_size=batch_size)


def differences(model: ir.Model, batch: Any, *, dtype: Any = torch.float32) -> list[float]:
    """The largest difference of each output from ONNX Runtime's."""
    network = opened(model, dtype=dtype, batch_size=len(batch))
    wanted = run_onnxruntime(model, {str(model.graph.inputs[0].name): batch})
    found = network(torch.from_numpy(batch))
    assert [tensor.dtype for tensor in found] == [torch.float32] * len(wanted)
    assert [tuple(tensor.shape) for tensor in found] == [array.shape for array in wanted]
    return [float(np.abs(a.numpy() - b).max()) for a, b in zip(found, wanted, strict=True)]


@pytest.mark.parametrize("architecture", [TINY, UNEVEN, U2NETP], ids=["tiny", "uneven", "u2netp"])
@pytest.mark.parametrize(("height", "width"), [(33, 47), (32, 64)])
def test_networks_compute_the_same(architecture: Architecture, height: int, width: int) -> None:
    model = offline(architecture, height=height, width=width)
    assert max(differences(model, random_batch(1, 3, height, width))) < CLOSE


def test_all_seven_outputs_of_a_batch_of_two() -> None:
    found = differences(offline(UNEVEN, outputs="all"), random_batch(2, 3, 33, 47))
    assert len(found) == 7
    assert max(found) < CLOSE


def test_pictures_of_8_bits_are_normalized_inside() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (2, 33, 47, 3), dtype=np.uint8)
    pixels[1] = 0  # black: divided by 1
    assert max(differences(offline(embed_preprocessing=True), pixels)) < CLOSE


# On probabilities of random weights; a unit of rounding is 5e-4 of a value in float16, 4e-3 in bfloat16.
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_halves_stay_close(dtype: str, bound: float) -> None:
    found = max(differences(offline(UNEVEN), random_batch(1, 3, 33, 47), dtype=getattr(torch, dtype)))
    assert CLOSE < found < bound


@pytest.mark.parametrize("seed", range(20))
def test_operators_wired_at_random_compute_the_same(seed: int) -> None:
    model, batch = random_operators(seed), random_batch(2, 3, 9, 13, seed=seed)
    wanted = run_onnxruntime(model, {"image": batch})
    # Values grow by sums and unscaled logits, so that the error is relative.
    for found, expected in zip(opened(model, batch_size=2)(torch.from_numpy(batch)), wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_16_bit_graphs_compute_in_float_with_their_rounded_weights() -> None:
    layers = quantized_layers(float_graph(), calibrated().activations, QuantizeOptions(bits=16))
    model = quantized_graph(layers)
    batch = random_batch(1, 3, HEIGHT, WIDTH)
    wanted = run_onnxruntime(without_activation_rounding(model), {str(model.graph.inputs[0].name): batch})
    found = opened(model)(torch.from_numpy(batch))
    assert max(float(np.abs(a.numpy() - b).max()) for a, b in zip(found, wanted, strict=True)) < CLOSE


def test_a_network_keeps_its_memory() -> None:
    network = opened(offline())
    places = [tensor.data_ptr() for tensor in (*network.inputs, *network.outputs)]
    batch = torch.from_numpy(random_batch(1, 3, 33, 47))
    first = network(batch)[0].clone()
    network(torch.zeros_like(batch))
    assert not torch.equal(network.outputs[0], first)
    torch.testing.assert_close(network(batch)[0], first, rtol=0, atol=0)
    assert places == [tensor.data_ptr() for tensor in (*network.inputs, *network.outputs)]


def test_every_channel_that_is_read_was_written() -> None:
    network = opened(offline(UNEVEN))
    batch = torch.from_numpy(random_batch(1, 3, 33, 47))
    first = network(batch)[0].clone()
    for step in network.steps:
        for tensor in (step.target, step.pooled):
            if tensor is not None:
                tensor.fill_(torch.nan)
    torch.testing.assert_close(network(batch)[0], first, rtol=0, atol=0)


def test_another_batch_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"expected torch.float32 \(1, 3, 33, 47\); found .*\(2, 3, 33, 47\)"
    ):
        opened(offline())(torch.zeros((2, 3, 33, 47)))
    with pytest.raises(InputError, match=r"found torch\.float64"):
        opened(offline())(torch.zeros((1, 3, 33, 47), dtype=torch.float64))
    with pytest.raises(InputError, match="found nothing"):
        opened(offline())()


def test_a_kernel_that_is_not_here_is_the_library() -> None:
    network = opened(offline())
    shapes = [step.shape for step in network.steps]
    other = network.with_kernels(KernelChoice(dict.fromkeys(shapes, "another card's")))
    assert set(other.kernels) == {"library"}
    assert other.outputs[0] is network.outputs[0]


def test_steps_of_one_shape_are_those_that_take_the_same_time() -> None:
    steps = opened(offline(U2NETP)).steps
    assert len({step.shape for step in steps}) < len(steps)
    first = next(step for step in steps if step.kind is Kind.FIRST_CONVOLUTION)
    assert first.shape == "first_convolution 1×3×33×47 of 1 -> 1×64×33×47 of 64"
    pooling = next(step for step in steps if step.pooled is not None)
    assert pooling.shape == "convolution 1×64×33×47 of 64 -> 1×16×33×47 of 32, pools to 16"
