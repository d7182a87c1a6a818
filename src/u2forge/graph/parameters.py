"""The shapes of named parameters → the architecture they fit, or one error that lists all that does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from u2forge.errors import ModelError
from u2forge.graph.architecture import (
    ARCHITECTURES,
    Architecture,
    Shape,
    architecture_from_shapes,
    expected_parameters,
)

# Enough to see the pattern; a checkpoint of another network would list hundreds.
_LISTED = 8


def fitting_architecture(shapes: Mapping[str, Shape], *, where: str) -> Architecture:
    """The architecture whose parameters these are, all of them, with batch-norms everywhere or nowhere.

    Raises ModelError that lists the missing, unknown and misshapen ones, against the nearest architecture.
    """
    batch_norm = any(".bn_s1." in name for name in shapes)
    architecture = _nearest(shapes, batch_norm)
    expected = expected_parameters(architecture, batch_norm=batch_norm)
    missing = [name for name in expected if name not in shapes]
    unknown = [name for name in shapes if name not in expected]
    misshapen = [
        f"{name} {list(shapes[name])} in place of {list(shape)}"
        for name, shape in expected.items()
        if name in shapes and tuple(shapes[name]) != shape
    ]
    if not missing and not unknown and not misshapen:
        return architecture
    faults = {"missing": missing, "unknown": unknown, "misshapen": misshapen}
    fitting = len(expected) - len(missing) - len(misshapen)
    raise ModelError(
        where=where,
        expected=f"the {len(expected)} parameters of {architecture.name}, the nearest architecture",
        found="; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in faults.items() if names),
        fix=_advice(fitting, len(expected), misshapen),
    )


def _nearest(shapes: Mapping[str, Shape], batch_norm: bool) -> Architecture:
    candidates: list[Architecture] = list(ARCHITECTURES)
    try:
        candidates.append(architecture_from_shapes(shapes))
    except ModelError:
        # The widths cannot be told; one of the known members then says best what is missing.
        pass

    def agreement(architecture: Architecture) -> int:
        expected = expected_parameters(architecture, batch_norm=batch_norm)
        return sum(tuple(shapes.get(name, ())) == shape for name, shape in expected.items())

    return max(candidates, key=agreement)


def _advice(fitting: int, total: int, misshapen: Sequence[str]) -> str:
    if any(entry.startswith(("side", "outconv")) for entry in misshapen):
        return "use weights with one output channel: models with several classes have another head"
    if 2 * fitting < total:
        return "use weights of a U²-Net (u2net, u2netp, or one of your own widths) with upstream's names"
    return "export the whole state dict again, with upstream's names: torch.save(model.state_dict(), FILE)"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
