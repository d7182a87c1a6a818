"""Compiled models on disk: reused, never trusted when damaged, bounded, and no reason to fail."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from small_model_files import network_proto, picture_batch, write_proto
from u2forge.engine import compiled_cache
from u2forge.engine.compiled_cache import KEPT_MODELS, compiled_model_folder
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import open_engine

PROGRAM = Path(__file__).with_name("open_in_process.py")
needs_openvino = pytest.mark.needs_openvino


def written(root: Path, key: str, content: bytes = b"compiled", name: str = "1.blob") -> Path:
    with compiled_model_folder(root, key) as folder:
        assert folder is not None
        (folder / name).write_bytes(content)
        return folder / name


def found(root: Path, key: str) -> list[str]:
    with compiled_model_folder(root, key) as folder:
        assert folder is not None
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".blob")


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    assert found(tmp_path / "new" / "folder", "key") == []
    path = written(tmp_path, "key")
    assert found(tmp_path, "key") == ["1.blob"]
    assert found(tmp_path, "other") == []
    assert path.read_bytes() == b"compiled"


@pytest.mark.parametrize("damage", [b"compilee", b"compile", b"compiled+", b""])
def test_a_damaged_file_is_removed_with_a_warning(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, "key")
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path, "key") == []
    assert "1.blob is not what was written: it is made again" in caplog.text
    path = written(tmp_path, "key", b"again")
    assert found(tmp_path, "key") == ["1.blob"]


def test_a_file_without_digest_is_removed(tmp_path: Path) -> None:
    path = written(tmp_path, "key")
    path.with_name("1.blob.sha256").unlink()
    assert found(tmp_path, "key") == []
    path = written(tmp_path, "key")
    path.with_name("1.blob.sha256").write_bytes(b"\xff\xfe")
    assert found(tmp_path, "key") == []


def test_a_process_that_failed_within_leaves_nothing_to_trust(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="compile"), compiled_model_folder(tmp_path, "key") as folder:
        assert folder is not None
        (folder / "1.blob").write_bytes(b"half")
        raise RuntimeError("compile")
    assert found(tmp_path, "key") == []


def test_a_new_file_replaces_the_old_one_of_the_same_key(tmp_path: Path) -> None:
    written(tmp_path, "key", name="1.blob")
    written(tmp_path, "key", name="2.blob")
    assert found(tmp_path, "key") == ["2.blob"]
    written(tmp_path, "key", b"rewritten", name="2.blob")
    assert found(tmp_path, "key") == ["2.blob"]


def test_a_gpus_kernels_stay_beside_the_model(tmp_path: Path) -> None:
    for name in ("1.blob", "1.cl_cache", "2.cl_cache", "2.blob"):
        written(tmp_path, "key", name=name)
    assert sorted(path.name for path in (tmp_path / "key").glob("*[!6]")) == [
        "1.cl_cache",
        "2.blob",
        "2.cl_cache",
    ]


def test_only_the_models_used_last_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_MODELS):
        written(tmp_path, f"key{number}")
        time.sleep(0.01)
    assert found(tmp_path, "key0") == ["1.blob"]
    time.sleep(0.01)
    written(tmp_path, "newest")
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"newest", "key0", *(f"key{number}" for number in range(2, KEPT_MODELS))}


def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        caplog.at_level(logging.WARNING),
        compiled_model_folder(tmp_path / "file" / "cache", "key") as folder,
    ):
        assert folder is None
    assert "no compiled models are kept in" in caplog.text


def test_a_damaged_file_that_cannot_be_removed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "key").write_bytes(b"damaged")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with compiled_model_folder(tmp_path, "key") as folder:
        assert folder is None


def test_a_lock_that_another_holds_too_long_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_cache, "_LOCK_SECONDS", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(tmp_path / ".lock"):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    with compiled_model_folder(tmp_path, "key") as folder:
        assert folder is None
    done.set()
    holder.join(30)
    assert found(tmp_path, "key") == []


def run_program(model: Path, cache: Path, answer: Path) -> np.ndarray:
    program = [sys.executable, str(PROGRAM), str(model), str(cache), str(answer)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(answer)


def blobs(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.blob"))


@needs_openvino
def test_a_second_start_reuses_the_compiled_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model, cache = write_proto(network_proto(), tmp_path / "model.onnx"), tmp_path / "cache"
    first = run_program(model, cache, tmp_path / "first.npy")
    state = [(path, path.stat().st_mtime_ns) for path in blobs(cache)]
    assert len(state) == 1
    second = run_program(model, cache, tmp_path / "second.npy")
    assert [(path, path.stat().st_mtime_ns) for path in blobs(cache)] == state
    np.testing.assert_array_equal(first, second)


@needs_openvino
def test_each_kind_of_opening_has_one_compiled_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path, cache = write_proto(network_proto(), tmp_path / "model.onnx"), tmp_path / "cache"
    for streams in (1, 2, 1):
        options = EngineOptions(streams=streams, threads=2, cache_folder=cache)
        open_engine(path, engine="openvino", options=options).close()
    assert len(blobs(cache)) == 2
    # Built again: the same content, of another time. OpenVINO keeps that under another name.
    write_proto(network_proto(), path)
    open_engine(path, engine="openvino", options=options).close()
    assert len(blobs(cache)) == 2


@needs_openvino
def test_damaged_compiled_models_neither_crash_nor_give_other_numbers(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model, cache = write_proto(network_proto(), tmp_path / "model.onnx"), tmp_path / "cache"
    right = run_program(model, cache, tmp_path / "right.npy")
    (blob,) = blobs(cache)
    whole, seal = blob.read_bytes(), blob.with_name(blob.name + ".sha256").read_bytes()
    source = random.Random(2)
    damages: list[bytes] = [whole[:size] for size in (0, 1, len(whole) // 2, len(whole) - 1)]
    for place in (0, 40, len(whole) // 2, len(whole) - 9, *(source.randrange(len(whole)) for _ in range(4))):
        damages.append(whole[:place] + bytes([whole[place] ^ 1 << source.randrange(8)]) + whole[place + 1 :])
    for damage in damages:
        blob.unlink()
        blob.write_bytes(damage)
        blob.with_name(blob.name + ".sha256").write_bytes(seal)
        np.testing.assert_array_equal(run_program(model, cache, tmp_path / "answer.npy"), right)
        assert blobs(cache) == [blob]
        assert len(blob.read_bytes()) == len(whole), "it was made again"


@needs_openvino
def test_two_processes_on_an_empty_cache(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model, cache = write_proto(network_proto(), tmp_path / "model.onnx"), tmp_path / "cache"
    with ThreadPoolExecutor(3) as processes:
        answers = list(
            processes.map(lambda index: run_program(model, cache, tmp_path / f"{index}.npy"), range(3))
        )
    assert len(blobs(cache)) == 1
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


@needs_openvino
def test_an_unusable_cache_folder_is_logged_and_passed_by(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openvino")
    parts = network_proto()
    path = write_proto(parts, tmp_path / "model.onnx")
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        options = EngineOptions(cache_folder=tmp_path / "file" / "cache")
        engine = open_engine(path, engine="openvino", options=options)
    assert "no compiled models are kept" in caplog.text
    assert engine.run({"x": picture_batch(parts[1][0])})["d0"].shape == (1, 1, 16, 16)
    engine.close()
