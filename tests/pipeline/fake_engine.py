"""An engine without a network, for tests of what is around it: its answer is the first channel of its input."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.engine.protocol import EngineInfo, Tensors
from u2forge.model_file.manifest import Manifest, Origin
from u2forge.pipeline.segmenter import Segmenter
from u2forge.tensor_spec import TensorSpec

SIZE = 16


class FakeEngine:
    """Implements engine/protocol.py. before: called in the engine's thread with each batch."""

    def __init__(
        self,
        *,
        batch_size: int | None = 1,
        streams: int = 1,
        embedded: bool = False,
        delay_s: float = 0.0,
        before: Callable[[NDArray[Any]], None] | None = None,
    ) -> None:
        self.batches: list[NDArray[Any]] = []
        self.most_submitted = 0
        self.closed = False
        self._delay_s = delay_s
        self._before = before
        self._embedded = embedded
        self._submitted = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="fake-engine")
        shape = (batch_size, SIZE, SIZE, 3) if embedded else (batch_size, 3, SIZE, SIZE)
        self.info = EngineInfo(
            engine="fake",
            version="1",
            device="CPU",
            device_name="no processor",
            precision_asked="force_float32",
            precision_executed="float32",
            precision_counts={"float32": 1},
            threads=1,
            streams=streams,
            inputs=(
                TensorSpec(
                    "image", shape, "uint8" if embedded else "float32", "NHWC" if embedded else "NCHW"
                ),
            ),
            outputs=(TensorSpec("d0", (batch_size, 1, SIZE, SIZE), "float32", "NCHW"),),
        )

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        return self.submit(inputs).result()

    def submit(self, inputs: Tensors) -> Future[dict[str, NDArray[Any]]]:
        self.info.inputs[0].check(inputs["image"], where="fake engine")
        with self._lock:
            self._submitted += 1
            self.most_submitted = max(self.most_submitted, self._submitted)
        return self._threads.submit(self._infer, inputs["image"])

    def close(self) -> None:
        self.closed = True
        self._threads.shutdown(wait=True)

    def _infer(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        try:
            if self._before is not None:
                self._before(batch)
            time.sleep(self._delay_s)
            self.batches.append(batch)
            channel = batch[..., 0] / 255 if self._embedded else (batch[:, 0] * 0.229 + 0.485)
            return {"d0": np.clip(channel, 0, 1).astype(np.float32)[:, None]}
        finally:
            with self._lock:
                self._submitted -= 1


def fake_manifest(engine: FakeEngine, *, origin: str = "0" * 64) -> Manifest:
    """A manifest that fits the engine. origin: the digest of the weights it claims."""
    return Manifest(
        name="fake",
        architecture="u2netp",
        precision="force_float32",
        origin=Origin("fake.onnx", "onnx", origin),
        inputs=engine.info.inputs,
        outputs=engine.info.outputs,
        pre="official",
        post="stretch",
        embedded_preprocessing=engine.info.inputs[0].dtype == "uint8",
        tools={},
    )


def fake_segmenter(engine: FakeEngine | None = None, *, origin: str = "0" * 64) -> Segmenter:
    """A segmenter on the engine, or on a new one."""
    engine = engine or FakeEngine()
    return Segmenter(engine, fake_manifest(engine, origin=origin))


def write_photo(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """A small photo (width, height) with noise from the seed, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_photos(folder: Path, count: int, *, suffix: str = ".png") -> list[Path]:
    """`count` photos in a folder, each of its own content."""
    return [write_photo(folder / f"{index:03d}{suffix}", seed=index) for index in range(count)]
