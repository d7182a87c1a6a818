"""A candidate → the whole pipeline on it, from encoded pictures to encoded masks on disk, to time."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from u2forge.engine.processor import usable_processors
from u2forge.errors import InputError
from u2forge.measure.candidate import Candidate
from u2forge.measure.timed_network import TimedNetwork
from u2forge.measure.timed_runs import Turn, TurnLimits
from u2forge.model_file.read import read_manifest
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.inputs import InputPicture, collect_inputs
from u2forge.pipeline.picture_report import STAGES
from u2forge.pipeline.segmenter import Segmenter


class TimedPipeline:
    """What `infer` does with the candidate's pictures, again and again, into a temporary folder."""

    def __init__(self, candidate: Candidate) -> None:
        # Noise suffices for the first inference; the pictures go through the pipeline.
        self._network = TimedNetwork(replace(candidate, inputs=(), scenario="latency"))
        self.engine = self._network.engine
        self.opening_ms: Mapping[str, float] = self._network.opening_ms
        self.streams = self._network.streams
        self._segmenter = Segmenter(self.engine, read_manifest(Path(candidate.path)))
        workers = candidate.threads or usable_processors()
        batch_size = self._segmenter.batch_size or candidate.batch_size
        self._options = FolderOptions(workers=workers, batch_size=batch_size)
        self._pictures = itertools.cycle(collect_inputs(list(candidate.inputs)))
        # Enough that decoding, inference and encoding overlap.
        self._least = 2 * max(workers, batch_size)
        self._pass_size = self._least

    def turn(self, limits: TurnLimits) -> Turn:
        """Pictures until the limits are met, in passes of about the turn's length; nothing is led in.

        samples: of each picture, `latency`: all its stages, without waiting in between, and STAGES. wall_s: of
        the passes, each from its start to its last mask; not the removal of the masks. Raises InputError where
        a picture cannot be segmented.
        """
        samples: dict[str, list[float]] = {"latency": []}
        cpu_start = time.process_time()
        wall_s = 0.0
        while True:
            pictures = [next(self._pictures) for _ in range(self._pass_size)]
            pass_s = self._pass(pictures, samples)
            wall_s += pass_s
            self._pass_size = max(self._least, int(limits.seconds / (pass_s / len(pictures))))
            done = len(samples["latency"])
            if wall_s >= limits.most_seconds or (wall_s >= limits.seconds and done >= limits.iterations):
                return Turn(wall_s, time.process_time() - cpu_start, samples)

    def close(self) -> None:
        """Closes the engine."""
        self._network.close()

    def _pass(self, pictures: Sequence[InputPicture], samples: dict[str, list[float]]) -> float:
        """Seconds that the pictures took."""
        # Several of one picture would replace each other's results.
        numbered = [
            InputPicture(one.path, PurePath(f"{index}{one.path.suffix}"))
            for index, one in enumerate(pictures)
        ]
        with tempfile.TemporaryDirectory(prefix="u2forge-perf-") as folder:
            start = time.perf_counter()
            with segment_folder(self._segmenter, numbered, Path(folder), options=self._options) as run:
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
            return time.perf_counter() - start
