"""A graph that is not yet worth a file of its own: written to a temporary place, opened, run over prepared pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from u2forge.engine.protocol import Engine, EngineInfo, EngineOptions
from u2forge.engine.registry import open_engine
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.write import write_model
from u2forge.pipeline.postprocess import stretch
from u2forge.pipeline.segmenter import Segmenter

if TYPE_CHECKING:
    import onnx_ir


@dataclass(frozen=True)
class TrialEngine:
    """Where trials run."""

    engine: str
    device: str
    threads: int | None

    @contextmanager
    def opened(self, graph: onnx_ir.Model, manifest: Manifest) -> Iterator[Segmenter]:
        """A segmenter on the graph. Raises EngineError, OutputError."""
        with self.engine_on(graph, manifest) as engine:
            yield Segmenter(engine, manifest)

    @contextmanager
    def engine_on(self, graph: onnx_ir.Model, manifest: Manifest) -> Iterator[Engine]:
        """An engine on the graph. Raises EngineError, OutputError."""
        options = EngineOptions(device=self.device, threads=self.threads)
        with tempfile.TemporaryDirectory(prefix="u2forge-trial-") as folder:
            path = Path(folder) / "trial.onnx"
            write_model(graph, manifest, path)
            with closing(open_engine(path, engine=self.engine, options=options)) as engine:
                yield engine

    def maps(
        self, graph: onnx_ir.Model, manifest: Manifest, prepared: Sequence[NDArray[Any]]
    ) -> tuple[list[NDArray[np.float32]], EngineInfo]:
        """The stretched maps (h, w) of prepared pictures, and what ran."""
        with self.opened(graph, manifest) as segmenter:
            size = segmenter.batch_size or 1
            found: list[NDArray[np.float32]] = []
            for start in range(0, len(prepared), size):
                batch = prepared[start : start + size]
                answer: Mapping[str, NDArray[Any]] = segmenter.submit(batch).result()
                found += [stretch(one) for one in segmenter.maps(answer, count=len(batch))]
            return found, segmenter.engine.info
