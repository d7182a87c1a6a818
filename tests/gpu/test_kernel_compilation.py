"""The kernels, as a network would launch them, compile for absent GPUs: on matrix units, without spilling."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from u2forge.gpu import step_alternatives as alternatives  # noqa: E402
from u2forge.gpu.convolution_parameters import ConvolutionParameters  # noqa: E402
from u2forge.gpu.placed_step import PlacedStep  # noqa: E402
from u2forge.native.plan import Kind  # noqa: E402

if TYPE_CHECKING:
    from triton.backends.compiler import GPUTarget

pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton"),
]

META = torch.device("meta")


@dataclass(frozen=True)
class Compiled:
    """instructions: how often each is in the machine code. spilled: bytes of registers that went to memory."""

    name: str
    instructions: dict[str, int]
    spilled: int


@pytest.fixture
def compiled_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[PlacedStep, int], list[Compiled]]:
    """Compiles all alternatives of a step for a capability, where a launch would."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import JITFunction, driver

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    found: list[Any] = []

    def launched(kernel: Any, grid: object) -> Callable[..., None]:
        return lambda *args, **options: found.append(kernel.run(*args, grid=grid, warmup=True, **options))

    monkeypatch.setattr(JITFunction, "__getitem__", launched)

    def compiled(step: PlacedStep, capability: int) -> list[Compiled]:
        monkeypatch.setattr(driver, "_active", _AbsentGpu(GPUTarget("cuda", capability, 32)))
        monkeypatch.setattr(alternatives, "_capability", lambda device: divmod(capability, 10))
        results = []
        for name, prepare in alternatives.step_alternatives(step).items():
            if name == alternatives.LIBRARY:
                continue
            prepare()()
            results.append(_machine_code(name, found[-1], tmp_path))
        return results

    return compiled


class _AbsentGpu:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, target: GPUTarget) -> None:
        self._target = target

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        # A device has one capability: kernels in memory are known by its number.
        return int(self._target.arch)

    def get_current_stream(self, device: int) -> int:
        return device


def _machine_code(name: str, kernel: Any, folder: Path) -> Compiled:
    import triton

    path = folder / "kernel.cubin"
    path.write_bytes(kernel.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    listing, usage = (
        subprocess.run([tool, option, path], capture_output=True, text=True, check=True).stdout
        for option in ("-sass", "--dump-resource-usage")
    )
    wanted = ("HGMMA", "HMMA", "LDL", "STL", "LDGSTS")
    stack = re.search(r"STACK:(\d+)", usage)
    assert stack is not None
    return Compiled(name, {word: len(re.findall(rf"\b{word}\b", listing)) for word in wanted}, int(stack[1]))


def step(kind: Kind, channels: int, outputs: int, size: int, **others: Any) -> PlacedStep:
    """A step of float16 without memory, which reads all and writes half of a buffer."""
    planar = kind is Kind.FIRST_CONVOLUTION
    source = (
        torch.empty((1, channels, size, size), device=META)
        if planar
        else torch.empty((1, size, size, channels), dtype=torch.float16, device=META).permute(0, 3, 1, 2)
    )
    weight = torch.empty((outputs, channels, 3, 3), dtype=torch.float16, device=META)
    options: dict[str, Any] = {"target": blocked(outputs, 2 * size if kind is Kind.RESIZE else size)}
    return PlacedStep(
        kind,
        "step",
        source,
        parameters=ConvolutionParameters(
            weight,
            torch.empty((9, channels, outputs), dtype=torch.float16, device=META),
            torch.empty(outputs, device=META),
        ),
        **(options | others),
    )


def blocked(channels: int, size: int) -> torch.Tensor:
    buffer = torch.empty((1, size, size, 2 * channels), dtype=torch.float16, device=META)
    return buffer.permute(0, 3, 1, 2).narrow(1, 0, channels)


THIN = step(Kind.CONVOLUTION, 64, 32, 320, pooled=blocked(32, 160))
THINNEST = step(Kind.CONVOLUTION, 16, 16, 160, pooled=blocked(16, 80))
CONVOLUTIONS = [
    THIN,
    THINNEST,
    step(Kind.CONVOLUTION, 32, 64, 320, residual=blocked(64, 320)),
    step(Kind.CONVOLUTION, 256, 256, 20, dilation=4),
    step(Kind.SIDE_CONVOLUTION, 64, 1, 160, target=torch.empty((1, 1, 160, 160), device=META)),
    step(Kind.FIRST_CONVOLUTION, 3, 64, 320),
]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=lambda layer: layer.shape)
@pytest.mark.parametrize(("capability", "instruction"), [(90, "HGMMA"), (80, "HMMA")])
def test_convolutions_use_the_matrix_units(
    compiled_for: Callable[[PlacedStep, int], list[Compiled]],
    layer: PlacedStep,
    capability: int,
    instruction: str,
) -> None:
    found = compiled_for(layer, capability)
    assert found
    for kernel in found:
        assert kernel.instructions[instruction] > 0, kernel
        assert (kernel.spilled, kernel.instructions["LDL"], kernel.instructions["STL"]) == (0, 0, 0), kernel


def test_row_by_row_is_an_alternative_where_weights_stay_at_hand(
    compiled_for: Callable[[PlacedStep, int], list[Compiled]],
) -> None:
    rows = {
        capability: sum(kernel.name.startswith("rows") for kernel in compiled_for(THIN, capability))
        for capability in (90, 80)
    }
    assert rows == {90: 2, 80: 0}
    assert any(kernel.name.startswith("rows") for kernel in compiled_for(THINNEST, 80))


@pytest.mark.parametrize("capability", [90, 80])
def test_upsampling_compiles_without_spilling(
    compiled_for: Callable[[PlacedStep, int], list[Compiled]], capability: int
) -> None:
    found = compiled_for(step(Kind.RESIZE, 64, 64, 80), capability)
    assert [kernel.spilled for kernel in found] == [0, 0]
