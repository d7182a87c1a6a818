"""sha256_of agrees with hashing the whole at once, whatever the size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from u2forge.weights.digest import BLOCK_BYTES, sha256_of


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 3])
def test_the_digest_is_that_of_the_whole(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
