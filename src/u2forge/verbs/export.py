"""export: a checkpoint of any known format → our float ONNX graph, or back to an upstream state dict."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from u2forge.errors import InputError, unknown_choice
from u2forge.leftovers import remove_leftovers
from u2forge.verbs.checkpoint_path import card_name, checkpoint_path

ExportFormat = Literal["onnx", "pth", "safetensors"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)


def export(
    checkpoint: str | Path, *, out: str | Path, to: ExportFormat = "onnx", progress: bool = False
) -> Path:
    """The path `out`, written whole: the checkpoint's network as a float ONNX graph of open batch and size with
    outputs d0 … d6, or as a state dict under upstream's names (batch-norms that were folded become identities).

    checkpoint: .pth, TorchScript .pt, .safetensors or .onnx, or a card's name. Raises ModelError where it is no U²-Net,
    MissingDependencyError where a format needs PyTorch, InputError, FetchError, OutputError.
    """
    if to not in EXPORT_FORMATS:
        raise unknown_choice(to, EXPORT_FORMATS, where="export, argument 'to'")
    target = Path(out).expanduser()
    _check_suffix(target, to)
    # Imported here, as in `build`: the graph libraries are heavy, and most verbs do without.
    from u2forge.graph.load import export_graph, load_network
    from u2forge.graph.state_dict import upstream_state_dict
    from u2forge.graph.write_onnx import write_onnx
    from u2forge.weights.checkpoint import write_safetensors, write_state_dict

    network = load_network(checkpoint_path(checkpoint, progress=progress), name=card_name(checkpoint))
    remove_leftovers([target.parent])
    if to == "onnx":
        write_onnx(export_graph(network), target)
    else:
        arrays = upstream_state_dict(network.architecture, network.arrays)
        (write_state_dict if to == "pth" else write_safetensors)(arrays, target)
    return target


def _check_suffix(target: Path, to: ExportFormat) -> None:
    suffix = target.suffix.lower().removeprefix(".")
    if suffix in EXPORT_FORMATS and suffix != to:
        raise InputError(
            where=f"export to {target}",
            expected=f"a name that ends in .{to}, as --to says",
            found=f".{suffix}",
            fix=f"add --to {suffix}, or name it {target.with_suffix('.' + to).name}",
        )
