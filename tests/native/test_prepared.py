"""The prepared file: read back as it was written, never trusted when damaged, bounded, and no reason to fail."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import random
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from u2forge.errors import ModelError
from u2forge.model_file.read import ModelFile, open_model_file
from u2forge.native import prepared as prepared_module
from u2forge.native import prepared_header, read_prepared, write_prepared
from u2forge.native.prepared import KEPT_FILES, Prepared, prepared_network
from u2forge.native.prepared_header import (
    FORMAT_VERSION,
    MAGIC,
    PAYLOAD_OFFSET,
    NotPreparedError,
    header_bytes,
    parse_header,
)

PROGRAM = Path(__file__).with_name("prepare_in_process.py")
PREAMBLE_BYTES = 56
NAMES = ("precision", "names", "inputs", "outputs")


@pytest.fixture
def model(tiny_model: Path) -> ModelFile:
    return open_model_file(tiny_model)


def prepare(
    model: ModelFile, cache: Path | None, *, precision: str = "float32", kernels_version: int = 1
) -> Prepared:
    return prepared_network(
        model,
        precision=precision,
        cache_folder=cache,
        kernels_version=kernels_version,
        checksum=zlib.crc32,
    )


def check_same(found: Prepared, expected: Prepared) -> None:
    for name in NAMES:
        assert getattr(found, name) == getattr(expected, name)
    for name in ("buffers", "steps", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def only_file(cache: Path) -> Path:
    (path,) = cache.glob("*.prepared")
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precisions that a graph was parsed for, as it goes on."""
    calls: list[str] = []
    compiled = prepared_module._compiled

    def counted(model_file: ModelFile, precision: str) -> Any:
        calls.append(precision)
        return compiled(model_file, precision)

    monkeypatch.setattr(prepared_module, "_compiled", counted)
    return calls


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_was_written_is_found_again(
    model: ModelFile, tmp_path: Path, parsed: list[str], precision: str
) -> None:
    in_memory = prepare(model, None, precision=precision)
    first = prepare(model, tmp_path / "new" / "folder", precision=precision)
    assert len(parsed) == 2
    second = prepare(model, tmp_path / "new" / "folder", precision=precision)
    assert len(parsed) == 2
    for found in (first, second):
        check_same(found, in_memory)
        assert not found.weights.flags.writeable
        assert found.weights.ctypes.data % 4096 == 0
    assert in_memory.weights.ctypes.data % 4096 == 0
    assert not in_memory.weights.flags.writeable
    assert first.inputs == (("image", "float32", (1, 3, 64, 96)),)
    assert [name for name, _, _ in first.outputs] == ["d0"]
    assert sum(layer.is_convolution for layer in second.layers) > 100


def test_offsets_are_aligned_and_within_the_weights(model: ModelFile) -> None:
    found = prepare(model, None)
    offsets = found.steps[:, 16:20]
    assert (offsets[offsets >= 0] % 64 == 0).all()
    assert offsets.max() < found.weights.size
    convolutions = found.steps[:, 0] == 2
    assert (found.steps[convolutions, 16] % 4096 == 0).all()


def test_16_bits_need_a_model_that_was_calibrated(model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="build the model again with a qint16 precision"):
        prepare(model, tmp_path, precision="int16")
    assert list(tmp_path.glob("*prepared*")) == []


def test_models_precisions_and_kernels_have_files_of_their_own(model: ModelFile, tmp_path: Path) -> None:
    prepare(model, tmp_path)
    prepare(model, tmp_path, precision="bfloat16")
    prepare(model, tmp_path, kernels_version=2)
    assert len(list(tmp_path.glob("*.prepared"))) == 3


def test_a_file_under_another_s_name_is_not_taken(
    model: ModelFile, tmp_path: Path, parsed: list[str]
) -> None:
    prepare(model, tmp_path, kernels_version=1)
    old = only_file(tmp_path)
    old.rename(old.with_name(old.name.replace("-1.", "-2.")))
    prepare(model, tmp_path, kernels_version=2)
    assert len(parsed) == 2


@pytest.fixture
def whole(model: ModelFile, tmp_path: Path) -> bytes:
    prepare(model, tmp_path)
    return only_file(tmp_path).read_bytes()


def flipped(whole: bytes) -> Iterator[bytes]:
    """One bit each, in the preamble, the JSON, the zeros behind it, and the weights."""
    source = random.Random(7)
    places = [*range(PREAMBLE_BYTES), *(source.randrange(PREAMBLE_BYTES, 20_000) for _ in range(40))]
    places += [source.randrange(20_000, PAYLOAD_OFFSET) for _ in range(20)]
    places += [source.randrange(PAYLOAD_OFFSET, len(whole)) for _ in range(84)]
    for place in places:
        yield whole[:place] + bytes([whole[place] ^ 1 << source.randrange(8)]) + whole[place + 1 :]


def test_a_flipped_bit_is_found_wherever_it_is(model: ModelFile, tmp_path: Path, whole: bytes) -> None:
    path = only_file(tmp_path)
    key = prepared_header.PreparedKey(model.content_sha256, 1, "float32")
    read_prepared.read_prepared(path, key, zlib.crc32)
    count = 0
    for damage in flipped(whole):
        path.write_bytes(damage)
        with pytest.raises(NotPreparedError):
            read_prepared.read_prepared(path, key, zlib.crc32)
        count += 1
    assert count == 200


def damages(whole: bytes) -> Iterator[bytes]:
    yield from (b"", b"\0", MAGIC, whole[:100], whole[:PAYLOAD_OFFSET], whole[:-1], whole + b"\0")
    yield from (os.urandom(5000), b"\0" * len(whole), b"PK\3\4" + whole[4:], whole[1:] + b"\0")
    yield whole[PAYLOAD_OFFSET:]
    yield whole[:-1] + bytes([whole[-1] ^ 1])


def test_damaged_and_foreign_files_are_made_again(
    model: ModelFile,
    tmp_path: Path,
    whole: bytes,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = only_file(tmp_path)
    compiled = prepared_module._compiled(model, "float32")  # once for all of them
    monkeypatch.setattr(prepared_module, "_compiled", lambda *_: compiled)
    for damage in damages(whole):
        path.unlink()
        path.write_bytes(damage)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = prepare(model, tmp_path)
        assert caplog.text.count("are not what was written") == 1
        assert path.read_bytes() == whole
        assert found.weights.tobytes() == whole[PAYLOAD_OFFSET:]


def forged(whole: bytes, **changes: Any) -> bytes:
    """The header of a file with other values and a digest that fits them."""
    length = struct.unpack_from("<I", whole, 20)[0]
    values = json.loads(whole[PREAMBLE_BYTES : PREAMBLE_BYTES + length])
    text = json.dumps({**values, **changes}).encode()
    return sealed(text)


def sealed(text: bytes) -> bytes:
    body = text.ljust(PAYLOAD_OFFSET - PREAMBLE_BYTES, b"\0")
    digest = hashlib.sha256(body).digest()
    return struct.pack("<16sII32s", MAGIC, FORMAT_VERSION, len(text), digest) + body


@pytest.mark.parametrize(
    "changes",
    [
        {"payload_bytes": 2**62},
        {"payload_bytes": -1},
        {"payload_bytes": 1e3},
        {"payload_bytes": True},
        {"checksums": []},
        {"checksums": ["a"]},
        {"checksums": None},
        {"names": []},
        {"names": "abc"},
        {"names": 7},
        {"steps": [[1, 2]]},
        {"steps": [[2**70] * 24]},
        {"steps": [[0.5] * 24]},
        {"steps": "x"},
        {"steps": {"a": 1}},
        {"buffers": [7]},
        {"buffers": None},
        {"inputs": [[1, 2, 3]]},
        {"inputs": [["x", "float32"]]},
        {"outputs": [["x", "float32", ["a"]]]},
        {"kernels_version": None},
        {"precision": 3},
        {"content_sha256": []},
    ],
)
def test_forged_headers_are_refused(whole: bytes, changes: dict[str, Any]) -> None:
    parse_header(forged(whole))
    with pytest.raises(NotPreparedError):
        parse_header(forged(whole, **changes))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"null", b"\xff", b"{}", b"[" * 100_000, b'{"a": NaN}']
)
def test_headers_that_are_no_json_object_are_refused(text: bytes) -> None:
    with pytest.raises(NotPreparedError):
        parse_header(sealed(text))


def test_a_forged_size_is_never_allocated(
    model: ModelFile, tmp_path: Path, whole: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, huge = only_file(tmp_path), 1 << 35
    count = len(prepared_header.sections(huge))
    path.write_bytes(forged(whole, payload_bytes=huge, checksums=[0] * count) + whole[PAYLOAD_OFFSET:])
    with caplog.at_level(logging.WARNING):
        prepare(model, tmp_path)
    assert "are made again" in caplog.text
    assert path.read_bytes() == whole


def test_a_plan_that_fits_no_header_is_kept_in_memory(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (prepared_header, read_prepared, write_prepared):
        monkeypatch.setattr(module, "PAYLOAD_OFFSET", 4096)
    with caplog.at_level(logging.WARNING):
        found = prepare(model, tmp_path)
    assert "no prepared weights are kept" in caplog.text
    assert list(tmp_path.glob("*prepared*")) == []
    monkeypatch.undo()
    check_same(found, prepare(model, None))


def test_sections_have_checksums_of_their_own(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_header, "SECTION_BYTES", 4096 * 5)
    prepare(model, tmp_path)
    header = parse_header(only_file(tmp_path).read_bytes()[:PAYLOAD_OFFSET])
    assert len(header.checksums) == -(-header.payload_bytes // (4096 * 5)) > 3
    assert header_bytes(header) == only_file(tmp_path).read_bytes()[:PAYLOAD_OFFSET]
    check_same(prepare(model, tmp_path), prepare(model, None))


def test_a_mapping_outlives_its_file_and_another_that_replaces_it(model: ModelFile, tmp_path: Path) -> None:
    found = prepare(model, tmp_path)
    expected = found.weights.copy()
    path = only_file(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.unlink()
    path.write_bytes(damaged)
    again = prepare(model, tmp_path)
    path.unlink()
    np.testing.assert_array_equal(found.weights, expected)
    np.testing.assert_array_equal(again.weights, expected)


def test_only_the_files_used_last_are_kept(model: ModelFile, tmp_path: Path) -> None:
    for version in range(KEPT_FILES):
        prepare(model, tmp_path, kernels_version=version)
        time.sleep(0.01)
    prepare(model, tmp_path, kernels_version=0)
    time.sleep(0.01)
    prepare(model, tmp_path, kernels_version=9)
    kept = {int(path.stem.rpartition("-")[2]) for path in tmp_path.glob("*.prepared")}
    assert kept == {9, 0, *range(2, KEPT_FILES)}


def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(
    model: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        found = prepare(model, tmp_path / "file" / "cache")
    assert "no prepared weights are kept in" in caplog.text
    check_same(found, prepare(model, None))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_the_right_to_write(
    model: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o500)
    try:
        with caplog.at_level(logging.WARNING):
            prepare(model, tmp_path)
        assert "no prepared weights are kept in" in caplog.text
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_cache_is_read_all_the_same(
    model: ModelFile, tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(model, tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("touch", "mkdir", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    prepare(model, tmp_path)
    assert len(parsed) == 1


@pytest.mark.parametrize("when", ["before packing", "while packing"])
def test_a_full_disk_is_no_reason_to_fail(
    model: ModelFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "before packing":
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    else:
        monkeypatch.setattr(write_prepared, "header_bytes", full)
    with caplog.at_level(logging.WARNING):
        found = prepare(model, tmp_path)
    assert "No space left on device" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == []
    monkeypatch.undo()
    check_same(found, prepare(model, None))


def test_something_else_of_that_name(
    model: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(model, tmp_path)
    path = only_file(tmp_path)
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        check_same(prepare(model, tmp_path), prepare(model, None))
    assert "no prepared weights are kept" in caplog.text
    if hasattr(os, "mkfifo"):
        (path / "file").unlink()
        path.rmdir()
        os.mkfifo(path)
        check_same(prepare(model, tmp_path), prepare(model, None))
        assert path.is_file()


def test_a_lock_that_another_holds_too_long_is_passed_by(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_module, "_LOCK_SECONDS", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(tmp_path / ".lock"):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    check_same(prepare(model, tmp_path), prepare(model, None))
    assert list(tmp_path.glob("*.prepared")) == []
    done.set()
    holder.join(30)
    prepare(model, tmp_path)
    assert only_file(tmp_path)


def test_what_a_killed_run_left_is_removed(model: ModelFile, tmp_path: Path) -> None:
    left = tmp_path / ".x.prepared.999999999-abcd.u2forge-part"
    left.write_bytes(b"half")
    prepare(model, tmp_path)
    assert not left.exists()


def run_program(model: Path, cache: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(model), str(cache)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_processes_at_once_and_one_after_them(tiny_model: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as processes:
        answers = list(processes.map(lambda _: run_program(tiny_model, tmp_path), range(3)))
    assert len({digest for _, digest in answers}) == 1
    assert only_file(tmp_path)
    # A second start neither parses the graph nor imports what could.
    assert run_program(tiny_model, tmp_path) == ["False", answers[0][1]]


def test_threads_at_once(model: ModelFile, tmp_path: Path, parsed: list[str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: prepare(model, tmp_path), range(4)))
    assert len(parsed) == 1
    for each in found[1:]:
        check_same(each, found[0])
