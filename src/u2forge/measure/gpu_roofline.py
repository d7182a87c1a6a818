"""An NVIDIA GPU's roofline, measured by PyTorch: multiply-accumulates a second by precision, and bytes a second."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from u2forge.measure.roofline import Roofline

if TYPE_CHECKING:
    import torch

# Large enough to fill any card, on random numbers: on zeros a card is faster than on anything that is worth computing.
_SIDE = 8192
_COPIED_BYTES = 2**30
_CALLS = 5
_REPEATS = 5
_TYPES = {
    "float32": "float32",
    "tensorfloat32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}

# The milliseconds that a call takes on the device.
Clock = Callable[[Callable[[], object]], float]


def roofline_of_gpu(precisions: Sequence[str], *, device: str) -> Roofline:
    """The roofline of a GPU by its name in CUDA (cuda:0). Empty but for the reason where PyTorch does not run on it."""
    try:
        import torch

        with torch.cuda.device(torch.device(device)):
            return measured_roofline(precisions, torch.device(device), clock=cuda_milliseconds)
    except Exception as error:  # it may be missing, broken, or built without CUDA
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Roofline({}, None, (f"nothing was measured of the GPU: {line[:300]}",))


def measured_roofline(
    precisions: Sequence[str],
    device: torch.device,
    *,
    clock: Clock,
    side: int = _SIDE,
    copied_bytes: int = _COPIED_BYTES,
) -> Roofline:
    """Of square products of that side, and of a copy of so many bytes, which are read and written."""
    import torch

    peaks, notes = {}, []
    for precision in precisions:
        if precision not in _TYPES:
            notes.append(f"the peak in {precision} is not measured of GPUs")
            continue
        dtype = getattr(torch, _TYPES[precision])
        left, right = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
        product = torch.empty_like(left)
        with products_in(precision):
            peaks[precision] = side**3 / clock(lambda: torch.mm(left, right, out=product)) / 1e6  # noqa: B023
    source = torch.randint(256, (copied_bytes,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    bandwidth = 2 * copied_bytes / clock(lambda: target.copy_(source)) / 1e6
    return Roofline(peaks, bandwidth, tuple(notes))


def cuda_milliseconds(call: Callable[[], object]) -> float:
    """The median over repeats, of calls one after the other."""
    from u2forge.gpu.event_times import event_times_ms

    def calls() -> None:
        for _ in range(_CALLS):
            call()

    call()
    return float(statistics.median(event_times_ms(calls, repeats=_REPEATS))) / _CALLS


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within the block, PyTorch's products of float32 keep all bits, or only those of tensorfloat32."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = precision == "tensorfloat32"
    try:
        yield
    finally:
        matmul.allow_tf32 = before
