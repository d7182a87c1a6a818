"""The check that a compiled graph takes and gives what its manifest says, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from u2forge.errors import ModelError
from u2forge.model_file.read import ModelFile
from u2forge.tensor_spec import TensorSpec

# Name, dtype as numpy calls it, sizes with None where any fits: what an engine says of one tensor.
FoundTensor = tuple[str, str, tuple[int | None, ...]]


def check_fits_manifest(
    model: ModelFile, *, inputs: Sequence[FoundTensor], outputs: Sequence[FoundTensor]
) -> None:
    """Raises ModelError where the graph lacks a tensor of the manifest, has it otherwise, or needs another input."""
    _check(model, "input", model.manifest.inputs, inputs)
    _check(model, "output", model.manifest.outputs, outputs)
    unnamed = {name for name, _, _ in inputs} - {spec.name for spec in model.manifest.inputs}
    if unnamed:
        raise _misfit(model, "inputs of the manifest only", f"also {', '.join(sorted(unnamed))}")


def _check(
    model: ModelFile,
    kind: Literal["input", "output"],
    specs: Sequence[TensorSpec],
    found: Sequence[FoundTensor],
) -> None:
    by_name = {name: (dtype, shape) for name, dtype, shape in found}
    for spec in specs:
        if spec.name not in by_name:
            raise _misfit(model, f"{kind} {spec.name!r}", f"{kind}s {', '.join(by_name) or 'none'}")
        dtype, shape = by_name[spec.name]
        sizes_agree = len(shape) == len(spec.shape) and all(
            ours is None or theirs is None or ours == theirs
            for ours, theirs in zip(spec.shape, shape, strict=True)
        )
        if dtype != spec.dtype or not sizes_agree:
            raise _misfit(model, f"{kind} {spec.name!r} as {spec}", f"{dtype} {shape}")


def _misfit(model: ModelFile, expected: str, found: str) -> ModelError:
    return ModelError(
        where=f"model file {model.path}, graph",
        expected=f"{expected}, as its manifest says",
        found=found,
        fix="build the model again with `u2forge build`",
    )
