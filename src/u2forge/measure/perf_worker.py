"""The worker process of perf: opens one candidate, warms it up and gives it turns, asked in JSON lines on its input.

Each request is a line on standard input, each answer a line on standard output: `open` (a candidate), `warm_up`
(milliseconds), `turn` (TurnLimits), `profile` (inferences), `close`. An error of ours is an answer
too, and ends the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from u2forge.errors import InputError, U2ForgeError
from u2forge.measure.candidate import Candidate, candidate_from
from u2forge.measure.timed_network import TimedNetwork, tensor_infos
from u2forge.measure.timed_pipeline import TimedPipeline
from u2forge.measure.timed_runs import TurnLimits
from u2forge.model_file.read import read_manifest
from u2forge.weights.digest import sha256_of


def main() -> int:
    """Answers requests until `close` or the end of the input; the process's exit code."""
    # A Ctrl-C is for the parent, which closes the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_output()
    work = _Work()
    for line in sys.stdin:
        request = json.loads(line)
        if "close" in request:
            break
        try:
            answer = work.answer(request)
        except U2ForgeError as error:
            _say(answers, {"error": {"kind": type(error).__name__, **_parts(error)}})
            return 1
        _say(answers, answer)
    work.close()
    return 0


def _private_output() -> TextIO:
    """Standard output for answers alone; whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _parts(error: U2ForgeError) -> dict[str, str]:
    return {"where": error.where, "expected": error.expected, "found": error.found, "fix": error.fix}


class _Work:
    """What is open between two requests."""

    def __init__(self) -> None:
        self._candidate: Candidate | None = None
        self._timed: TimedNetwork | TimedPipeline | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to any request but `close`."""
        if "open" in request:
            self._candidate = candidate_from(request["open"])
            kind = TimedPipeline if self._candidate.scenario == "pipeline" else TimedNetwork
            self._timed = kind(self._candidate)
            return {"opened": _facts(self._candidate, self._timed)}
        if "profile" in request and self._candidate is None:
            candidate = candidate_from(request["profile"]["candidate"])
            return {"profiled": _profile(candidate, int(request["profile"]["inferences"]))}
        if self._timed is None:
            raise InputError(
                where="perf worker",
                expected="`open` first",
                found=str(list(request)),
                fix="ask to open a candidate",
            )
        if "warm_up" in request:
            turn = self._timed.turn(TurnLimits(seconds=float(request["warm_up"]) / 1000, iterations=1))
            return {"warmed_up": {"wall_ms": turn.wall_s * 1000, "iterations": len(turn.samples["latency"])}}
        return {"turn": asdict(self._timed.turn(TurnLimits(**request["turn"])))}

    def close(self) -> None:
        if self._timed is not None:
            self._timed.close()


def _facts(candidate: Candidate, timed: TimedNetwork | TimedPipeline) -> dict[str, Any]:
    info = timed.engine.info
    path = Path(candidate.path)
    size = info.inputs[0].batch_size or candidate.batch_size
    return {
        "name": read_manifest(path).name,
        "model_sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        "precision": info.precision_asked,
        "executed": info.precision_executed,
        "engine": info.engine,
        "engine_version": info.version,
        "device": info.device,
        "device_name": info.device_name,
        "batch_size": size,
        "threads": info.threads,
        "streams": info.streams,
        "inputs": [vars(one) for one in tensor_infos(info.inputs, batch_size=size)],
        "outputs": [vars(one) for one in tensor_infos(info.outputs, batch_size=size)],
        "opening_ms": dict(timed.opening_ms),
    }


def _profile(candidate: Candidate, inferences: int) -> dict[str, Any]:
    from u2forge.measure.layer_profile import profile_candidate

    return profile_candidate(candidate, inferences=inferences).as_dict()


if __name__ == "__main__":
    sys.exit(main())
