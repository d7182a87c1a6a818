"""Pairs and opened models → each pair's scores, overlapped: threads decode and score while the engine infers.

One thread, the one that iterates, feeds the engine: each batch of pictures goes through every model in turn, so that
a noisy machine favours none. Results come in the order of the pairs, which makes every sum repeatable. The pictures
(and pixels) under way are bounded.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import U2ForgeError
from u2forge.evaluate.check_pairs import described_sizes
from u2forge.evaluate.datasets import Pair, PairProblem
from u2forge.evaluate.grey_mask import grey_of
from u2forge.evaluate.parity import parity
from u2forge.evaluate.picture_record import ModelScores, PictureRecord
from u2forge.evaluate.predictions import enlarged, predictions
from u2forge.evaluate.protocols import PictureScores, Protocol, score_picture
from u2forge.pipeline.fatal_errors import engine_error
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.postprocess import stretch
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.segmenter import Segmenter

# Scoring takes about 80 bytes a pixel while it runs; a larger picture goes through alone.
PIXELS_IN_FLIGHT = 32_000_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EvaluatedPicture:
    """One pair's record, and for a page what was compared; None where the picture was left out.

    picture: the photo; truth: (H, W) uint8; masks: (H, W) uint8 by model.
    """

    record: PictureRecord
    picture: Picture | None = None
    truth: NDArray[np.uint8] | None = None
    masks: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True, eq=False)
class _Loaded:
    pair: Pair
    picture: Picture
    truth: NDArray[np.uint8]
    prepared: tuple[NDArray[Any], ...]


@dataclass(frozen=True, eq=False)
class _Inferred:
    """One model's answer of one picture."""

    probability: NDArray[np.float32]
    seconds: float


def evaluated_pictures(
    segmenters: Sequence[Segmenter],
    pairs: Sequence[Pair],
    *,
    protocols: Sequence[Protocol],
    workers: int,
    batch_size: int | None,
    max_pixels: int,
) -> Generator[EvaluatedPicture, None, None]:
    """Each pair's result, in order; a bad picture is a record with a problem.

    workers: threads that decode and score. batch_size: for models that take any number, None for 1. Raises
    EngineError where an engine fails. Leaving early (close, an exception) waits for what the threads have in hand.
    """
    flow = _Flow(segmenters, pairs, protocols, workers=workers, batch_size=batch_size, max_pixels=max_pixels)
    return flow.pictures()


class _Flow:
    """One run of pairs through the models. Use it once."""

    def __init__(
        self,
        segmenters: Sequence[Segmenter],
        pairs: Sequence[Pair],
        protocols: Sequence[Protocol],
        *,
        workers: int,
        batch_size: int | None,
        max_pixels: int,
    ) -> None:
        self._segmenters = segmenters
        self._source = iter(pairs)
        self._protocols = protocols
        self._max_pixels = max_pixels
        self._batch_sizes = [segmenter.batch_size or batch_size or 1 for segmenter in segmenters]
        self._most_loading = max(self._batch_sizes) + workers
        self._most_scoring = 2 * workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="u2forge-eval")
        self._loading: deque[tuple[Pair, Future[_Loaded | PairProblem]]] = deque()
        self._scoring: deque[tuple[Pair, Future[EvaluatedPicture]]] = deque()
        self._next: Pair | None = next(self._source, None)
        self._pixels = 0

    def pictures(self) -> Generator[EvaluatedPicture, None, None]:
        try:
            while self._loading or self._scoring or self._next is not None:
                self._start_loading()
                if self._loading:
                    self._infer_batch()
                while self._scoring and self._should_take():
                    yield self._take()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _start_loading(self) -> None:
        while self._next is not None and len(self._loading) < self._most_loading:
            if self._pixels and self._pixels + self._next.pixels > PIXELS_IN_FLIGHT:
                break
            self._pixels += self._next.pixels
            self._loading.append((self._next, self._pool.submit(self._load, self._next)))
            self._next = next(self._source, None)

    def _should_take(self) -> bool:
        """Whether the first of the results is there, or has to be waited for before anything goes on."""
        is_done = self._scoring[0][1].done()
        return is_done or not self._loading or len(self._scoring) > self._most_scoring

    def _take(self) -> EvaluatedPicture:
        pair, scored = self._scoring.popleft()
        try:
            return scored.result()
        finally:
            self._pixels -= pair.pixels

    def _load(self, pair: Pair) -> _Loaded | PairProblem:
        """Runs in the pool."""
        try:
            picture = read_picture(pair.photo, max_pixels=self._max_pixels)
            mask = read_picture(pair.mask, max_pixels=self._max_pixels)
            if picture.rgb.shape != mask.rgb.shape:
                sizes = described_sizes((picture.width, picture.height), (mask.width, mask.height))
                return PairProblem(pair.name, "sizes differ", sizes)
            truth = grey_of(mask)
            if truth is None:
                return PairProblem(pair.name, "mask not grey", "colours, or transparency")
            return _Loaded(pair, picture, truth, self._prepared(picture))
        except U2ForgeError as error:
            return PairProblem(pair.name, "unreadable", str(error))

    def _prepared(self, picture: Picture) -> tuple[NDArray[Any], ...]:
        """The networks' inputs; models that take the same share one."""
        made: dict[object, NDArray[Any]] = {}
        prepared = []
        for segmenter in self._segmenters:
            spec = segmenter.engine.info.inputs[0]
            key = (segmenter.pre, segmenter.manifest.embedded_preprocessing, spec.height, spec.width)
            if key not in made:
                made[key] = segmenter.prepare(picture)
            prepared.append(made[key])
        return tuple(prepared)

    def _infer_batch(self) -> None:
        """Takes a batch of loaded pictures through every model, and hands them on to be scored, in order."""
        batch = [self._loading.popleft() for _ in range(min(len(self._loading), max(self._batch_sizes)))]
        outcomes = [(pair, future.result()) for pair, future in batch]
        loaded = [outcome for _, outcome in outcomes if isinstance(outcome, _Loaded)]
        answers = [self._infer(index, loaded) for index in range(len(self._segmenters))]
        position = 0
        for pair, outcome in outcomes:
            if isinstance(outcome, PairProblem):
                left_out: Future[EvaluatedPicture] = Future()
                left_out.set_result(EvaluatedPicture(PictureRecord.left_out(pair, outcome)))
                self._scoring.append((pair, left_out))
                continue
            scored = self._pool.submit(self._score, outcome, [answer[position] for answer in answers])
            self._scoring.append((pair, scored))
            position += 1

    def _infer(self, index: int, loaded: Sequence[_Loaded]) -> list[_Inferred]:
        segmenter, size = self._segmenters[index], self._batch_sizes[index]
        inferred: list[_Inferred] = []
        for start in range(0, len(loaded), size):
            chunk = loaded[start : start + size]
            try:
                begin = time.perf_counter()
                answer = segmenter.submit([one.prepared[index] for one in chunk]).result()
                seconds = (time.perf_counter() - begin) / len(chunk)
                maps = segmenter.maps(answer, count=len(chunk))
            except Exception as error:
                raise engine_error(error, segmenter.engine.info) from None
            inferred += [_Inferred(probability, seconds) for probability in maps]
        return inferred

    def _score(self, loaded: _Loaded, answers: Sequence[_Inferred]) -> EvaluatedPicture:
        """Runs in the pool."""
        pair = loaded.pair
        try:
            return self._scored(loaded, answers)
        except Exception as error:  # a map of NaN, or too little memory for a huge picture
            _logger.debug("%s", pair.name, exc_info=error)
            reason = str(error) if isinstance(error, U2ForgeError) else f"{type(error).__name__}: {error}"
            return EvaluatedPicture(
                PictureRecord.left_out(pair, PairProblem(pair.name, "failed", reason[:500]))
            )

    def _scored(self, loaded: _Loaded, answers: Sequence[_Inferred]) -> EvaluatedPicture:
        height, width = loaded.truth.shape
        reference = stretch(answers[0].probability)
        models, masks = [], []
        for index, (segmenter, answer) in enumerate(zip(self._segmenters, answers, strict=True)):
            # The mask is wanted for the page by whatever protocol.
            wanted: list[Protocol] = ["paper", *self._protocols]
            made = predictions(
                answer.probability, protocols=wanted, height=height, width=width, pre=segmenter.pre
            )
            scores = {name: _score_one(made[name], loaded.truth, name) for name in self._protocols}
            own = enlarged(stretch(answer.probability), height=reference.shape[0], width=reference.shape[1])
            compared = parity(reference, own) if index else None
            models.append(ModelScores(answer.seconds, scores, compared))
            masks.append(made["paper"].astype(np.uint8, copy=False))
        pair = loaded.pair
        record = PictureRecord(pair.name, width, height, tuple(models))
        return EvaluatedPicture(record, loaded.picture, loaded.truth, tuple(masks))


def _score_one(
    prediction: NDArray[np.uint8] | NDArray[np.float32], truth: NDArray[np.uint8], protocol: Protocol
) -> PictureScores:
    return score_picture(prediction, truth, protocol=protocol)
