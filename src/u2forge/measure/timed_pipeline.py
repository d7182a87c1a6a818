"""A candidate → the whole pipeline on it, from encoded pictures to encoded masks on disk, to time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from u2forge.errors import InputError
from u2forge.measure.candidate import Candidate
from u2forge.measure.timed_network import TimedNetwork
from u2forge.measure.timed_runs import Turn
from u2forge.model_file.read import read_manifest
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.picture_report import STAGES
from u2forge.pipeline.segmenter import Segmenter


class TimedPipeline:
    """What `infer` does with the candidate's pictures, again and again, into a temporary folder."""

    def __init__(self, candidate: Candidate) -> None:
        # Noise suffices to warm the network up; the pictures go through the pipeline.
        self._network = TimedNetwork(
            Candidate(**{**candidate.as_dict(), "inputs": (), "scenario": "latency"})
        )
        self.engine = self._network.engine
        self.opening_ms: Mapping[str, float] = self._network.opening_ms
        self.streams = self._network.streams
        self._segmenter = Segmenter(self.engine, read_manifest(Path(candidate.path)))
        self._pictures = collect_inputs(list(candidate.inputs))
        fixed = self._segmenter.batch_size
        self._options = FolderOptions(batch_size=fixed or candidate.batch_size)

    def turn(self, *, seconds: float, iterations: int) -> Turn:
        """Whole folders until both `seconds` have passed and `iterations` pictures are done.

        samples: of each picture, `latency`: all its stages, without waiting for its turn in between, and STAGES.
        Raises InputError where a picture cannot be segmented.
        """
        samples: dict[str, list[float]] = {"latency": []}
        cpu_start, start = time.process_time(), time.perf_counter()
        while True:
            self._pass(samples)
            wall_s = time.perf_counter() - start
            if wall_s >= seconds and len(samples["latency"]) >= iterations:
                return Turn(wall_s, time.process_time() - cpu_start, samples)

    def close(self) -> None:
        """Closes the engine."""
        self.engine.close()

    def _pass(self, samples: dict[str, list[float]]) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="u2forge-perf-") as folder,
            segment_folder(self._segmenter, self._pictures, Path(folder), options=self._options) as run,
        ):
            for report in run:
                if report.status != "done":
                    raise InputError(
                        where=f"perf, picture {report.input}",
                        expected="a picture that can be segmented",
                        found=str(report.reason),
                        fix="leave it out of --input",
                    )
                samples["latency"].append(sum(report.stage_ms.values()))
                for stage in STAGES:
                    samples.setdefault(stage, []).append(report.stage_ms.get(stage, 0.0))
