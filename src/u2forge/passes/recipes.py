"""The passes in their order: float graph → the graph of an offline model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from u2forge.graph.build import OUTPUT_NAMES
from u2forge.graph.static_values import Shape
from u2forge.output_choice import OutputChoice
from u2forge.passes.embed_preprocessing import EmbedPreprocessing
from u2forge.passes.fold_batchnorm import FoldBatchNorm
from u2forge.passes.fold_constants import FoldConstants
from u2forge.passes.freeze_inputs import FreezeInputs
from u2forge.passes.freeze_shapes import FreezeShapes
from u2forge.passes.keep_outputs import KeepOutputs
from u2forge.passes.own_parameters import OwnParameters
from u2forge.passes.remove_identities import RemoveIdentities
from u2forge.passes.store_fp16_weights import StoreFp16Weights
from u2forge.precision import FloatMode, PrecisionMode, float_type


def offline_graph(
    model: ir.Model,
    *,
    outputs: OutputChoice,
    batch_size: int | None,
    height: int,
    width: int,
    precision: FloatMode,
    embed_preprocessing: bool,
) -> ir.Model:
    """A smaller graph that computes the same as `model`, which stays as it is, at one picture size.

    batch_size: None leaves it open. force_float16 stores the weights as float16; which half precision then
    computes, the engine decides. Raises ModelError where a size is beyond the limits (32 to 1024 pixels).
    """
    passes: list[ir.passes.InPlacePass] = [
        KeepOutputs(OUTPUT_NAMES[:1] if outputs == "d0" else OUTPUT_NAMES),
        FreezeShapes(batch_size, height, width),
        *_specializing(fold_batchnorm=True),
    ]
    if embed_preprocessing:
        passes.append(EmbedPreprocessing())
    return finished(_after(passes, model), precision)


def tensor_graph(
    model: ir.Model,
    *,
    shapes: Mapping[str, Shape],
    fold_batchnorm: bool = True,
    interface: Sequence[ir.passes.InPlacePass] = (),
) -> ir.Model:
    """The offline float graph of any network, which stays as it is, with all of its outputs: see `finished`.

    shapes: of the inputs by name, None within one where an axis stays open. interface: what changes the inputs and
    outputs, in the order from the network to the outside. Raises ModelError.
    """
    passes = [
        FreezeInputs(shapes),
        *_specializing(fold_batchnorm=fold_batchnorm),
        # Once more: in a foreign graph, what batch-norms read may have been nodes so far.
        *([FoldBatchNorm()] if fold_batchnorm else []),
        OwnParameters(),
        *interface,
    ]
    return _after(passes, model)


def _specializing(*, fold_batchnorm: bool) -> list[ir.passes.InPlacePass]:
    return [*([FoldBatchNorm()] if fold_batchnorm else []), RemoveIdentities(), FoldConstants()]


def _after(passes: Sequence[ir.passes.InPlacePass], model: ir.Model) -> ir.Model:
    """One by one, not as a Sequential: that would wrap our own errors in its PassError."""
    result = model.clone()
    for step in passes:
        step(result)
    return result


def finished(model: ir.Model, precision: PrecisionMode) -> ir.Model:
    """The model itself, its float weights stored as the precision says. The last step, after quantization too."""
    if float_type(precision) == "float16":
        StoreFp16Weights()(model)
    return model
