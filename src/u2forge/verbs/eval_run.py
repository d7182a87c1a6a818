"""One evaluation under way: records of an earlier run taken in, the remaining pairs evaluated, all added up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from u2forge.engine.processor import usable_processors
from u2forge.evaluate.datasets import Pair, PairProblem
from u2forge.evaluate.differences import Differences
from u2forge.evaluate.eval_row import EvalRow, finite_metrics
from u2forge.evaluate.evaluation import EvaluatedPicture, evaluated_pictures
from u2forge.evaluate.model_totals import ModelTotals
from u2forge.evaluate.picture_record import PictureRecord
from u2forge.evaluate.protocols import FIGURES, Protocol
from u2forge.report.gallery import Gallery
from u2forge.verbs.eval_models import OpenedModel

OnPicture = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """How pairs are worked through. workers: threads that decode and score, None for one a usable processor."""

    protocols: tuple[Protocol, ...]
    workers: int | None
    batch_size: int | None
    max_pixels: int


class EvalRun:
    """The sums of one evaluation. gallery: None where no page is wanted."""

    def __init__(
        self,
        models: Sequence[OpenedModel],
        pairs: Sequence[Pair],
        options: RunOptions,
        *,
        with_gallery: bool,
        on_picture: OnPicture | None,
    ) -> None:
        self.totals = [ModelTotals(options.protocols) for _ in models]
        self.problems: list[PairProblem] = []
        self.gallery = Gallery(options.protocols) if with_gallery else None
        self._models = models
        self._pairs = pairs
        self._options = options
        self._on_picture = on_picture
        self._done: set[str] = set()

    @property
    def images(self) -> int:
        """Pictures that every model has been evaluated on."""
        return self.totals[0].images

    def replay(self, records: Iterable[PictureRecord]) -> None:
        """Takes in what an earlier run recorded."""
        for record in records:
            self._add(record, None)

    def go_on(self, add_record: Callable[[PictureRecord], None]) -> None:
        """Evaluates the pairs that are left, in their order; each is recorded as soon as it is done."""
        remaining = [pair for pair in self._pairs if pair.name not in self._done]
        with closing(self._evaluated(remaining)) as pictures:
            for evaluated in pictures:
                add_record(evaluated.record)
                self._add(evaluated.record, evaluated)

    def complete_gallery(self) -> None:
        """Evaluates again the few pictures that the page shows and that an earlier run did."""
        if self.gallery is None or not (missing := set(self.gallery.missing())):
            return
        with closing(self._evaluated([pair for pair in self._pairs if pair.name in missing])) as pictures:
            for evaluated in pictures:
                self.gallery.show(evaluated)

    def rows(self, dataset: str) -> list[EvalRow]:
        """A row for each protocol and model, the first model being the reference."""
        return [
            self._row(dataset, index, protocol)
            for protocol in self._options.protocols
            for index in range(len(self._models))
        ]

    def _evaluated(self, pairs: Sequence[Pair]) -> Generator[EvaluatedPicture, None, None]:
        return evaluated_pictures(
            [model.segmenter for model in self._models],
            pairs,
            protocols=self._options.protocols,
            workers=self._options.workers or usable_processors(),
            batch_size=self._options.batch_size,
            max_pixels=self._options.max_pixels,
        )

    def _add(self, record: PictureRecord, evaluated: EvaluatedPicture | None) -> None:
        position = len(self._done)
        self._done.add(record.name)
        if record.problem is not None:
            self.problems.append(record.problem)
        else:
            for total, result in zip(self.totals, record.models, strict=True):
                total.add(result)
        if self.gallery is not None:
            self.gallery.add(position, record, evaluated)
        if self._on_picture is not None:
            self._on_picture(record.name)

    def _row(self, dataset: str, index: int, protocol: Protocol) -> EvalRow:
        model, total = self._models[index], self.totals[index]
        info = model.segmenter.engine.info
        metrics = self._metrics(index, protocol)
        return EvalRow(
            dataset=dataset,
            images=total.images,
            model=model.name,
            path=str(model.path),
            digest=model.digest,
            precision=model.precision,
            executed=info.precision_executed,
            engine=info.engine,
            engine_version=info.version,
            device=info.device,
            device_name=info.device_name,
            threads=info.threads,
            protocol=protocol,
            metrics=metrics,
            images_per_second=total.images_per_second,
            differences=None if index == 0 else self._differences(total, metrics, self._metrics(0, protocol)),
        )

    def _metrics(self, index: int, protocol: Protocol) -> dict[str, float | None]:
        return finite_metrics(self.totals[index].scores[protocol].figures())

    def _differences(
        self, total: ModelTotals, own: dict[str, float | None], first: dict[str, float | None]
    ) -> Differences:
        metrics = {}
        for name in FIGURES:
            a, b = own[name], first[name]
            metrics[name] = None if a is None or b is None else a - b
        return Differences(
            mean_difference=total.mean_difference,
            worst_difference=total.worst_difference,
            worst_iou=total.worst_iou,
            below_iou_floor=total.below_iou_floor,
            metrics=metrics,
        )
