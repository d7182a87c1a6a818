"""The candidates of the GPU benchmark: PyTorch's own ways, ours, and ONNX Runtime's where it has the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from gpu_models import FLOAT16, FLOAT32, MeasuredModels
from gpu_opened import CaptureMemory, Opened, OpenedEngine, OpenedNetwork, Settings, cudnn_settings, logged
from gpu_plain_network import plain_network
from gpu_time import TimeLimitError, seconds_limit
from u2forge.engine.cuda_device import NAME
from u2forge.engine.cuda_engine import open_cuda
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import ENGINES, engine_devices, open_engine
from u2forge.gpu.choose_kernels import choose_kernels, chosen_kernels
from u2forge.gpu.fused_network import FusedNetwork
from u2forge.gpu.kernel_choice import KernelChoice, choice_file, read_choice, write_choice
from u2forge.gpu.torch_network import TorchNetwork
from u2forge.model_file.read import ModelFile
from u2forge.native.lower import Lowered, lower

Arithmetic = Literal["float32", "tensorfloat32", "float16", "bfloat16", "8-bit"]
DTYPES = {
    "float32": torch.float32,
    "tensorfloat32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
# Of stretched maps to float32's, on average over the photos. tensorfloat32 keeps as many bits as float16. 8-bit maps
# are held to their limit when the file is built; here they are only told.
LIMITS = {"float32": 1e-4, "tensorfloat32": 1e-3, "float16": 1e-3, "bfloat16": 2e-3}
CONTROL = "control: channels moved by one, must fail"
# Batches that wait in a queue while others are copied and computed.
_ENGINE_DEPTH = 4
# Of kernels that are passed over, kept in a row.
_MESSAGES = 20


@dataclass(frozen=True)
class Candidate:
    """group: peers are others' programs; network: ours on pictures that lie on the device; engine: ours with copies.
    open: for a batch size. batches: the only ones to open it for, None for any. hindrance: why it has no figures."""

    name: str
    group: Literal["peer", "network", "engine"]
    arithmetic: Arithmetic
    open: Callable[[int], Opened]
    batches: tuple[int, ...] | None = None
    hindrance: str = ""


@dataclass
class Place:
    """What all candidates share. folder: for choices of kernels, as the engine keeps them. compile_mode: of
    torch.compile. Limits in seconds, for one batch size."""

    device: torch.device
    models: MeasuredModels
    folder: Path
    compile_mode: str
    compile_batches: tuple[int, ...]
    compile_limit_s: float
    choose_limit_s: float
    chosen_too_slowly: set[tuple[torch.dtype, int]] = field(default_factory=set)
    _networks: dict[torch.dtype, TorchNetwork] = field(default_factory=dict)
    _peers: dict[torch.dtype, torch.fx.GraphModule] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Else the same code runs on the processor, without events and captured graphs."""
        return self.device.type == "cuda"

    @cached_property
    def capture_memory(self) -> CaptureMemory:
        """Of all captured networks: they run one after the other."""
        return CaptureMemory(self.device)

    @cached_property
    def lowered(self) -> Lowered:
        """The fused steps."""
        return lower(self.models.graph)

    def network(self, dtype: torch.dtype) -> TorchNetwork:
        """Our network on PyTorch's kernels."""
        if dtype not in self._networks:
            self._networks[dtype] = TorchNetwork(self.models.graph, device=self.device, dtype=dtype).eval()
        return self._networks[dtype]

    def peer(self, dtype: torch.dtype) -> torch.fx.GraphModule:
        """The ordinary module; half precision in channels-last, as PyTorch recommends."""
        if dtype not in self._peers:
            network = plain_network(self.models.graph).to(self.device)
            if dtype is not torch.float32:
                network = network.to(dtype).to(memory_format=torch.channels_last)
            self._peers[dtype] = network
        return self._peers[dtype]

    def pictures(self, batch_size: int, dtype: torch.dtype) -> torch.Tensor:
        """Memory for a batch, in the layout that goes with the type."""
        pictures = torch.zeros((batch_size, 3, *self.models.size), dtype=dtype, device=self.device)
        return pictures if dtype is torch.float32 else pictures.contiguous(memory_format=torch.channels_last)


def candidates(place: Place) -> list[Candidate]:
    """All of them, in the order in which they are opened."""
    return [*_peers(place), *_ours(place), *_onnxruntime(place)]


def control(place: Place) -> Candidate:
    """A network with a fault of the kind that kernels have: if the check of the maps lets it pass, it is blind."""

    def opened(batch_size: int) -> Opened:
        network = plain_network(place.models.graph).to(place.device)
        convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
        wrong = next(each for each in convolutions[len(convolutions) // 2 :] if each.out_channels > 1)
        with torch.no_grad():
            wrong.weight.copy_(wrong.weight.roll(1, 0))
        return _plain(place, network, batch_size, torch.float32, _TRIED)

    return Candidate(CONTROL, "network", "float32", opened)


def reference(place: Place) -> Opened:
    """float32 without tensorfloat32, in PyTorch's own operators: what all maps are compared with."""
    return _plain(place, place.peer(torch.float32), 1, torch.float32, _TRIED)


# cuDNN keeps, by thread, the kernel that a shape ran on first: what ran without trying would never be tried again.
_TRIED = cudnn_settings(tensorfloat32=False, tries_kernels=True)
_AS_SHIPPED = cudnn_settings(tensorfloat32=True, tries_kernels=False)
_TRIED_TENSORFLOAT32 = cudnn_settings(tensorfloat32=True, tries_kernels=True)


def _peers(place: Place) -> Iterator[Candidate]:
    eager = partial(_eager, place)
    yield Candidate("PyTorch eager float32", "peer", "float32", partial(eager, torch.float32, _TRIED))
    yield Candidate(
        "PyTorch eager as it ships (tensorfloat32)",
        "peer",
        "tensorfloat32",
        partial(eager, torch.float32, _AS_SHIPPED),
        hindrance=_hindrance(place, "tensorfloat32"),
    )
    yield Candidate(
        "PyTorch eager float16 channels-last", "peer", "float16", partial(eager, torch.float16, _TRIED)
    )
    yield Candidate(
        "torch.compile float16 channels-last",
        "peer",
        "float16",
        partial(_compiled, place),
        batches=place.compile_batches,
    )


def _ours(place: Place) -> Iterator[Candidate]:
    names: tuple[Arithmetic, ...] = ("float16", "float32", "tensorfloat32", "bfloat16")
    for name in names:
        hindrance = _hindrance(place, name)
        yield Candidate(
            f"u2forge {name}, PyTorch's kernels",
            "network",
            name,
            partial(_library, place, name),
            hindrance=hindrance,
        )
        if name != "tensorfloat32":
            yield Candidate(
                f"u2forge {name}, fused steps",
                "network",
                name,
                partial(_fused, place, DTYPES[name]),
                hindrance=hindrance,
            )
    for name in names:
        model = place.models.files[FLOAT16 if name in ("float16", "bfloat16") else FLOAT32]
        suffix = "" if name in ("float16", "float32") else f"/{name}"
        yield Candidate(
            f"u2forge {name}, engine {NAME}",
            "engine",
            name,
            partial(_engine, place, model, suffix, DTYPES[name]),
            hindrance=_hindrance(place, name),
        )
    if place.models.quantized is not None:
        opened = partial(_engine, place, place.models.quantized, "", None)
        yield Candidate(f"u2forge 8-bit file, engine {NAME}", "engine", "8-bit", opened)


def _onnxruntime(place: Place) -> Iterator[Candidate]:
    if not ENGINES["onnxruntime"].installed:
        return
    kinds = ("cuda", "tensorrt") if place.on_gpu else ("cpu",)
    try:
        devices = engine_devices("onnxruntime")
    except Exception as error:  # a broken installation may raise anything
        yield Candidate("ONNX Runtime", "peer", "float32", _not_opened, hindrance=str(error)[:300])
        return
    for device in devices:
        for kind, file, arithmetic in _ONNXRUNTIME:
            if kind in kinds and device.partition(":")[0] == kind:
                opened = partial(_onnxruntime_engine, place, device, file)
                yield Candidate(f"ONNX Runtime {device} {arithmetic}", "peer", arithmetic, opened)


# Kind of device, the file that it is given, and what it then multiplies in (engine/onnxruntime_provider_options.py);
# TensorRT takes tensorfloat32 where nobody forbids it.
_ONNXRUNTIME: tuple[tuple[str, str, Arithmetic], ...] = (
    ("cpu", FLOAT32, "float32"),
    ("cuda", FLOAT32, "float32"),
    ("cuda", FLOAT16, "tensorfloat32"),
    ("tensorrt", FLOAT32, "tensorfloat32"),
    ("tensorrt", FLOAT16, "float16"),
)


def _not_opened(batch_size: int) -> Opened:
    raise AssertionError("what has a hindrance is not opened")


def _hindrance(place: Place, arithmetic: str) -> str:
    if not place.on_gpu:
        return "the processor has no tensorfloat32" if arithmetic == "tensorfloat32" else ""
    major, minor = torch.cuda.get_device_capability(place.device)
    if arithmetic in ("tensorfloat32", "bfloat16") and major < 8:
        return f"a GPU of capability {major}.{minor} has no {arithmetic}"
    return ""


def _plain(
    place: Place,
    network: Callable[[torch.Tensor], torch.Tensor],
    batch: int,
    dtype: torch.dtype,
    settings: Settings,
) -> OpenedNetwork:
    pictures = place.pictures(batch, dtype)
    return OpenedNetwork(lambda: network(pictures), pictures, settings)


def _eager(place: Place, dtype: torch.dtype, settings: Settings, batch_size: int) -> Opened:
    return _plain(place, place.peer(dtype), batch_size, dtype, settings)


def _compiled(place: Place, batch_size: int) -> Opened:
    torch.compiler.reset()
    network = torch.compile(place.peer(torch.float16), mode=place.compile_mode, dynamic=False)
    opened = _plain(place, network, batch_size, torch.float16, _TRIED)
    start = time.perf_counter()
    with seconds_limit(place.compile_limit_s, f"torch.compile (mode {place.compile_mode})"):
        for _ in range(3):  # reduce-overhead captures at the second
            opened.once()
    opened.facts |= {"mode": place.compile_mode, "compile_s": round(time.perf_counter() - start, 1)}
    return opened


def _library(place: Place, arithmetic: str, batch_size: int) -> Opened:
    network, pictures = place.network(DTYPES[arithmetic]), place.pictures(batch_size, torch.float32)
    (name,), (output,) = network.inputs, network.outputs

    def run() -> torch.Tensor:
        return network({name: pictures})[output]

    settings = _TRIED_TENSORFLOAT32 if arithmetic == "tensorfloat32" else _TRIED
    return _opened(place, run, pictures, settings)


def _fused(place: Place, dtype: torch.dtype, batch_size: int) -> Opened:
    network, facts = chosen_network(place, dtype, batch_size)

    def run() -> torch.Tensor:
        network.run()
        return network.outputs[0]

    opened = _opened(place, run, network.inputs[0], _TRIED)
    opened.facts |= facts
    return opened


def _opened(
    place: Place, run: Callable[[], torch.Tensor], pictures: torch.Tensor, settings: Settings
) -> OpenedNetwork:
    if not place.on_gpu:
        return OpenedNetwork(run, pictures)
    return OpenedNetwork(place.capture_memory.captured(run, settings), pictures)


def chosen_network(
    place: Place, dtype: torch.dtype, batch_size: int
) -> tuple[FusedNetwork, Mapping[str, Any]]:
    """Fused steps, each on the fastest of its kernels; and which these are. Raises TimeLimitError."""
    network = FusedNetwork(place.lowered, device=place.device, dtype=dtype, batch_size=batch_size)
    start = time.perf_counter()
    try:
        limit = seconds_limit(place.choose_limit_s, "choosing kernels")
        with limit, _TRIED(), logged("u2forge.gpu") as told:
            choice, source = _choice(place, network)
    except TimeLimitError:
        place.chosen_too_slowly.add((dtype, batch_size))
        raise
    network = network.with_kernels(choice)
    kernels = Counter(name.split(" ")[0] for name in network.kernels)
    return network, {
        "choice": source,
        "choosing_s": round(time.perf_counter() - start, 1),
        "kernels": dict(kernels.most_common()),
        **({"said": told[:_MESSAGES], "messages": len(told)} if told else {}),
    }


def _choice(place: Place, network: FusedNetwork) -> tuple[KernelChoice, str]:
    """Kept where the engine looks for it. bfloat16 takes float16's, whose times are the same but for chance: to
    compile and time all alternatives again would cost the minutes that there are."""
    if not place.on_gpu:
        return choose_kernels(network), "none on a processor"
    folder = place.folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    path = partial(choice_file, folder, device=network.device, batch_size=network.batch_size)
    kept = read_choice(path(dtype=torch.float16)) if network.dtype is torch.bfloat16 else None
    if kept is not None:
        write_choice(path(dtype=torch.bfloat16), kept)
        return kept, "float16's"
    return chosen_kernels(network, folder), "measured here"


def _engine(
    place: Place, model: ModelFile, suffix: str, dtype: torch.dtype | None, batch_size: int
) -> Opened:
    if (dtype, batch_size) in place.chosen_too_slowly:
        raise TimeoutError("it would choose kernels, which took too long before")
    device = f"{place.device}{suffix}"
    opened = OpenedEngine(
        open_cuda(model, EngineOptions(device=device, cache_folder=place.folder)), depth=_ENGINE_DEPTH
    )
    return _warm(opened, place, batch_size)


def _onnxruntime_engine(place: Place, device: str, file: str, batch_size: int) -> Opened:
    options = EngineOptions(device=device, cache_folder=place.folder)
    engine = open_engine(place.models.files[file].path, engine="onnxruntime", options=options)
    return _warm(OpenedEngine(engine, depth=1), place, batch_size)


def _warm(opened: OpenedEngine, place: Place, batch_size: int) -> Opened:
    try:
        opened.take(np.zeros((batch_size, 3, *place.models.size), np.float32))
        opened.warm_up()
    except BaseException:
        opened.close()
        raise
    return opened
