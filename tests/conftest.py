"""Fixtures that several folders of tests share: the official weights and the research data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from u2forge.errors import FetchError


@pytest.fixture(scope="session")
def u2net_onnx() -> Path:
    """The official full U²-Net as ONNX, from the product's own cache (fetched there once)."""
    from u2forge.weights.fetch import fetch_weights

    try:
        return fetch_weights("u2net")
    except FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the official weights could not be fetched: {error}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of research data beside the checkout; not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the research data sets are not beside this checkout (shared/data)")
    return folder
