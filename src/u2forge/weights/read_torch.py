"""A PyTorch file → its named tensors, without running any Python code from the file."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.errors import ModelError
from u2forge.weights.torch_package import import_torch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

# Names under which training scripts wrap the state dict beside epoch, optimizer and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
_MOST_WRAPPERS = 8
# What DataParallel and torch.compile put before every name.
_PREFIXES = ("module.", "_orig_mod.")


def read_state_dict(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float tensors of a state dict by name, as float32; wrappers and common prefixes are taken off.

    Loaded with weights_only: nothing but tensors and plain containers is ever built. Raises ModelError where
    the file is broken or holds anything else; MissingDependencyError without PyTorch.
    """
    torch = import_torch(where=f"checkpoint {path}")
    try:
        with warnings.catch_warnings():
            # A pickle that PyTorch did not write gets an error of our own below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _not_plain(path, error) from error
    # An untrusted file may fail in any way inside the loader; whatever it is, the file is at fault.
    except Exception as error:
        raise _broken(path, "a state dict", error) from error
    return _arrays(_unwrapped(loaded, path), path)


def read_torchscript(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float parameters and buffers of a TorchScript file by name, as float32.

    Loading a TorchScript file may run TorchScript that is in it, never Python; of the loaded module only the
    tensors are read. Raises ModelError where it is broken; MissingDependencyError without PyTorch.
    """
    torch = import_torch(where=f"checkpoint {path}")
    try:
        with warnings.catch_warnings():
            # TorchScript files are still about, so they are still read.
            warnings.filterwarnings(
                "ignore", message=r".*torch\.jit.*deprecated", category=DeprecationWarning
            )
            module = torch.jit.load(str(path), map_location="cpu")
        loaded = module.state_dict()
    except Exception as error:
        raise _broken(path, "a TorchScript module", error) from error
    return _arrays(loaded, path)


def _unwrapped(loaded: object, path: Path) -> Mapping[object, object]:
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            return loaded
        loaded = inner
    raise ModelError(
        where=f"checkpoint {path}",
        expected="a state dict: a mapping from names to tensors",
        found=f"a {type(loaded).__name__}",
        fix="save it with torch.save(model.state_dict(), FILE)",
    )


def _arrays(loaded: Mapping[object, object], path: Path) -> dict[str, NDArray[np.float32]]:
    import torch

    arrays: dict[str, NDArray[np.float32]] = {}
    for name, value in loaded.items():
        if isinstance(name, str) and name.endswith("num_batches_tracked"):
            continue
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(
                where=f"checkpoint {path}, entry {name!r}",
                expected="a name and a tensor",
                found=f"a {type(value).__name__}",
                fix="save the state dict alone: torch.save(model.state_dict(), FILE)",
            )
        arrays[name] = _array(value, name, path)
    return _without_prefix(arrays)


def _array(tensor: torch.Tensor, name: str, path: Path) -> NDArray[np.float32]:
    import torch

    where = f"checkpoint {path}, tensor {name!r}"
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise ModelError(
            where=where,
            expected="dense floating-point weights",
            found=f"{str(tensor.dtype).removeprefix('torch.')}, {tensor.layout}, on {tensor.device}",
            fix="export the float weights from before quantization or pruning",
        )
    # A view may claim more elements than its storage has (stride 0): copying it could fill the memory.
    if tensor.numel() * tensor.element_size() > path.stat().st_size:
        raise ModelError(
            where=where,
            expected="no more elements than the file has bytes for",
            found=f"shape {tuple(tensor.shape)} in a file of {path.stat().st_size} bytes",
            fix="use a checkpoint from a source that you trust",
        )
    array: NDArray[np.float32] = tensor.detach().to(torch.float32).contiguous().numpy()
    return array


def _without_prefix(arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    for prefix in _PREFIXES * 2:
        if arrays and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def _not_plain(path: Path, error: pickle.UnpicklingError) -> ModelError:
    """What the weights-only loader refused: a whole model or an attack by name, or no pickle of PyTorch's."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is None:
        return _foreign(path)
    return ModelError(
        where=f"checkpoint {path}",
        expected="a state dict of plain tensors",
        found=f"a pickle that would run Python code when loaded ({named[1]}); it was not run",
        fix="where you trust its origin, save it there with torch.save(model.state_dict(), FILE)",
    )


def _foreign(path: Path) -> ModelError:
    return ModelError(
        where=f"checkpoint {path}",
        expected="a state dict that PyTorch wrote",
        found="a pickle of something else, or one that is damaged; it was not run",
        fix="save the weights with torch.save(model.state_dict(), FILE)",
    )


def _broken(path: Path, kind: str, error: Exception) -> ModelError:
    # How PyTorch says that a pickle does not start as its own do.
    if "magic number" in str(error):
        return _foreign(path)
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return ModelError(
        where=f"checkpoint {path}",
        expected=f"{kind} that PyTorch can read",
        found=f"a file that is cut short or damaged ({type(error).__name__}: {reason[:200]})",
        fix="copy or download the file again",
    )
