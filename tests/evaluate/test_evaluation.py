"""The overlapped run: order, batches, what is bounded, and what one bad picture or a failing engine does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import write_dataset, write_pair
from fake_engine import FakeEngine, fake_segmenter
from numpy.typing import NDArray

from u2forge.errors import EngineError
from u2forge.evaluate import evaluation
from u2forge.evaluate.check_pairs import check_pairs
from u2forge.evaluate.datasets import Pair, find_dataset
from u2forge.evaluate.evaluation import EvaluatedPicture, evaluated_pictures

COUNT = 23


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Pair]:
    return check_pairs(find_dataset(write_dataset(tmp_path_factory.mktemp("set"), COUNT))).pairs


def evaluated(engines: Sequence[FakeEngine], pairs: Sequence[Pair], **options: Any) -> list[EvaluatedPicture]:
    segmenters = [fake_segmenter(engine) for engine in engines]
    words = {"protocols": ("paper",), "workers": 3, "batch_size": None, "max_pixels": 10**6}
    return list(evaluated_pictures(segmenters, pairs, **(words | options)))


def test_results_come_in_the_order_of_the_pairs(pairs: Sequence[Pair]) -> None:
    found = evaluated([FakeEngine(), FakeEngine(batch_size=4)], pairs)
    assert [one.record.name for one in found] == [pair.name for pair in pairs]
    assert all(one.record.problem is None for one in found)
    first, second = found[0].record.models
    assert first.parity is None
    assert second.parity is not None
    assert (second.parity.mean_difference, second.parity.iou) == (0, 1)
    assert first.seconds > 0


@pytest.mark.parametrize(
    ("fixed", "asked", "largest"), [(1, None, 1), (4, None, 4), (None, 5, 5), (None, None, 1)]
)
def test_batches(fixed: int | None, asked: int | None, largest: int, pairs: Sequence[Pair]) -> None:
    engine, single = FakeEngine(batch_size=fixed), FakeEngine()
    found = evaluated([engine], pairs, batch_size=asked)
    expected = evaluated([single], pairs)
    assert max(len(batch) for batch in engine.batches) == largest
    for one, other in zip(found, expected, strict=True):
        assert (
            one.record.models[0].scores["paper"].as_dict() == other.record.models[0].scores["paper"].as_dict()
        )


def test_every_batch_goes_through_the_models_in_turn(pairs: Sequence[Pair]) -> None:
    turns: list[str] = []
    engines = [FakeEngine(before=lambda batch, name=name: turns.append(name)) for name in "ab"]
    evaluated(engines, pairs)
    assert turns == ["a", "b"] * COUNT


def test_pictures_under_way_are_bounded(pairs: Sequence[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, done, most = 0, 0, 0
    lock = threading.Lock()
    read = evaluation.read_picture

    def counted(path: Path, **options: Any) -> Any:
        nonlocal begun, most
        with lock:
            begun += path.suffix == ".jpg"
            most = max(most, begun - done)
        return read(path, **options)

    monkeypatch.setattr(evaluation, "read_picture", counted)
    words: dict[str, Any] = {"protocols": ("paper",), "workers": 2, "batch_size": None, "max_pixels": 10**6}
    many = [pair for _ in range(5) for pair in pairs]
    for _ in evaluated_pictures([fake_segmenter()], many, **words):
        with lock:
            done += 1
    assert begun == len(many)
    assert most <= 10


def test_pixels_under_way_are_bounded_and_a_huge_picture_goes_alone(
    pairs: Sequence[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "PIXELS_IN_FLIGHT", 1)
    assert len(evaluated([FakeEngine(batch_size=4)], pairs)) == COUNT


def test_a_map_of_nan_is_one_picture_left_out(pairs: Sequence[Pair]) -> None:
    class Broken(FakeEngine):
        def _infer(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
            answer = super()._infer(batch)
            if len(self.batches) == 3:
                answer["d0"][:] = np.nan
            return answer

    found = evaluated([FakeEngine(), Broken()], pairs)
    problems = [one.record.problem for one in found]
    assert [index for index, problem in enumerate(problems) if problem is not None] == [2]
    assert problems[2] is not None
    assert problems[2].problem == "failed"
    assert "NaN" in problems[2].reason
    assert found[2].picture is None


def test_a_failing_engine_ends_the_run(pairs: Sequence[Pair]) -> None:
    def fails(batch: NDArray[Any]) -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        evaluated([FakeEngine(before=fails)], pairs)


def test_a_mask_that_changed_since_it_was_checked(tmp_path: Path) -> None:
    found = find_dataset(write_dataset(tmp_path, 2))
    pairs = check_pairs(found).pairs
    write_pair(tmp_path / "other.jpg", pairs[1].mask, size=(9, 9))
    problems = [one.record.problem for one in evaluated([FakeEngine()], pairs)]
    assert problems[0] is None
    assert problems[1] is not None
    assert problems[1].problem == "sizes differ"


def test_leaving_early_ends_the_threads(pairs: Sequence[Pair]) -> None:
    words: dict[str, Any] = {"protocols": ("paper",), "workers": 2, "batch_size": None, "max_pixels": 10**6}
    run = evaluated_pictures([fake_segmenter()], pairs, **words)
    next(run)
    run.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("u2forge-eval")]
