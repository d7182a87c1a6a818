"""Raw tensors: read as the model's inputs, refused where they do not fit, and the outputs written as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from u2forge.engine.protocol import Engine
from u2forge.engine.registry import open_engine
from u2forge.errors import InputError
from u2forge.tensor_spec import TensorSpec
from u2forge.verbs.raw_tensors import read_raw_inputs, trace_inferences, write_raw_outputs

SPECS = (TensorSpec("a", (None, 2), "float32", "NC"), TensorSpec("b", (3,), "uint8", "N"))
SHAPES = [(1, 2), (3,)]


def files(folder: Path, *arrays: np.ndarray) -> list[Path]:
    paths = [folder / str(index) for index in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        array.tofile(path)
    return paths


A, B = np.array([[1.5, -2.0]], np.float32), np.array([1, 2, 255], np.uint8)


def test_files_become_sets_in_the_order_of_the_inputs(tmp_path: Path) -> None:
    sets = read_raw_inputs(files(tmp_path, A, B, 2 * A, B), SPECS, SHAPES)
    assert len(sets) == 2
    np.testing.assert_array_equal(sets[1]["a"], 2 * A)
    np.testing.assert_array_equal(sets[0]["b"], B)


def test_no_files_are_no_sets() -> None:
    assert read_raw_inputs([], SPECS, SHAPES) == []


def test_a_set_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sets of 2, one file for each of a, b; found 3 files"):
        read_raw_inputs(files(tmp_path, A, B, A), SPECS, SHAPES)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input 'b': expected 3 bytes: raw uint8 .*; found 8 bytes"):
        read_raw_inputs(files(tmp_path, A, A), SPECS, SHAPES)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no such file"):
        read_raw_inputs([tmp_path / "none", tmp_path / "none"], SPECS, SHAPES)
    with pytest.raises(InputError, match="found a folder"):
        read_raw_inputs([tmp_path, tmp_path], SPECS, SHAPES)


@pytest.fixture(scope="module")
def tiny_engine(tiny_model: Path) -> Iterator[Engine]:
    with closing(open_engine(tiny_model)) as engine:
        yield engine


def test_outputs_are_the_engines_own_bytes(tiny_engine: Engine, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sets = [{"image": random.standard_normal((1, 3, 64, 96)).astype(np.float32)} for _ in range(2)]
    written = write_raw_outputs(tiny_engine, sets, tmp_path / "new")
    assert [path.name for path in written] == ["output0", "output0_1"]
    for inputs, path in zip(sets, written, strict=True):
        (expected,) = tiny_engine.run(inputs).values()
        np.testing.assert_array_equal(np.fromfile(path, np.float32).reshape(expected.shape), expected)


def test_traced_inferences_follow_each_other(tiny_engine: Engine) -> None:
    traced = trace_inferences(tiny_engine, [{"image": np.zeros((1, 3, 64, 96), np.float32)}], count=3)
    assert len(traced) == 3
    for before, after in pairwise(traced):
        assert before.start_ms + before.wall_ms <= after.start_ms
    assert all(one.phases.compute_ms is not None and one.phases.compute_ms <= one.wall_ms for one in traced)
