"""Engines of a small PyTorch function on the processor: a plain one, and one that is a DeviceEngine, for comparing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from u2forge.engine.protocol import AfterNetwork, BeforeNetwork, EngineInfo, Tensors
from u2forge.model_file.manifest import Manifest, Origin
from u2forge.pipeline.segmenter import Segmenter
from u2forge.profiles import PostProfile, PreProfile
from u2forge.tensor_spec import TensorSpec

HEIGHT, WIDTH = 24, 32
Network = Callable[[torch.Tensor], torch.Tensor]


def planes_to_map(image: torch.Tensor) -> torch.Tensor:
    """(N, 3, h, w) → (N, 1, h, w) in [0, 1], each value by itself: a batch changes nothing."""
    return (image[:, :1] * 0.3 + image[:, 1:2] * 0.1 + 0.5).clamp(0, 1)


def pixels_to_map(image: torch.Tensor) -> torch.Tensor:
    """(N, h, w, 3) uint8 → (N, 1, h, w) in [0, 1]."""
    return (image[..., 0].float() / 255)[:, None]


class TorchEngine:
    """Implements engine/protocol.py, Engine."""

    def __init__(
        self,
        network: Network = planes_to_map,
        *,
        batch_size: int | None = 1,
        embedded: bool = False,
    ) -> None:
        self.network = network
        self.lock = threading.Lock()
        self.threads = ThreadPoolExecutor(1, thread_name_prefix="torch-engine")
        shape = (batch_size, HEIGHT, WIDTH, 3) if embedded else (batch_size, 3, HEIGHT, WIDTH)
        dtype, layout = ("uint8", "NHWC") if embedded else ("float32", "NCHW")
        self.info = EngineInfo(
            engine="torch-double",
            version="1",
            device="CPU",
            device_name="a processor",
            precision_asked="force_float32",
            precision_executed="float32",
            precision_counts={"float32": 1},
            threads=1,
            streams=1,
            inputs=(TensorSpec("image", shape, dtype, layout),),
            outputs=(TensorSpec("d0", (batch_size, 1, HEIGHT, WIDTH), "float32", "NCHW"),),
        )

    def run(self, inputs: Tensors, *, phases: object = None) -> dict[str, NDArray[Any]]:
        self.info.inputs[0].check(inputs["image"], where="torch engine")
        return {"d0": self.network(torch.from_numpy(inputs["image"])).numpy()}

    def submit(self, inputs: Tensors) -> Future[dict[str, NDArray[Any]]]:
        return self.threads.submit(self.run, inputs)

    def close(self) -> None:
        self.threads.shutdown(wait=True)


class TorchDeviceEngine(TorchEngine):
    """Implements DeviceEngine. As on a device, what it was given is overwritten once `before` is through.

    uploads: the arrays of each submission, their types and shapes; most_pixels: of pictures submitted and not answered.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.uploads: list[list[tuple[str, tuple[int, ...]]]] = []
        self.most_pixels = self._pixels = 0

    def submit_between(
        self, arrays: Sequence[NDArray[Any]], *, before: BeforeNetwork, after: AfterNetwork
    ) -> Future[list[NDArray[Any]]]:
        pixels = sum(array.shape[0] * array.shape[1] for array in arrays if array.ndim == 3)
        with self.lock:
            self.uploads.append([(str(array.dtype), array.shape) for array in arrays])
            self._pixels += pixels
            self.most_pixels = max(self.most_pixels, self._pixels)
        return self.threads.submit(self._between, list(arrays), before, after, pixels)

    def _between(
        self, arrays: list[NDArray[Any]], before: BeforeNetwork, after: AfterNetwork, pixels: int
    ) -> list[NDArray[Any]]:
        try:
            tensors = [torch.from_numpy(array.copy()) for array in arrays]
            inputs = {name: tensor.contiguous() for name, tensor in before(tensors).items()}
            for tensor in tensors:
                tensor.fill_(1)
            self.info.inputs[0].check(inputs["image"].numpy(), where="torch device engine")
            return [np.array(tensor.numpy()) for tensor in after({"d0": self.network(inputs["image"])})]
        finally:
            with self.lock:
                self._pixels -= pixels


def segmenter_on(
    engine: TorchEngine, *, pre: PreProfile = "official", post: PostProfile = "stretch"
) -> Segmenter:
    """A segmenter on the engine."""
    manifest = Manifest(
        name="torch-double",
        architecture="u2netp",
        precision="force_float32",
        origin=Origin("double.onnx", "onnx", "0" * 64),
        inputs=engine.info.inputs,
        outputs=engine.info.outputs,
        pre=pre,
        post=post,
        embedded_preprocessing=engine.info.inputs[0].dtype == "uint8",
        tools={},
    )
    return Segmenter(engine, manifest)
