"""Whether a module is there, found without importing any part of its name."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from u2forge.engine.find_module import find_module


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package vendor.inner.driver whose import would fail."""
    for folder in ("vendor", "vendor/inner"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise OSError('no driver')")
    (tmp_path / "vendor/inner/driver.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_dotted_name_is_found_and_nothing_of_it_imported(package: Path) -> None:
    assert find_module("vendor.inner.driver") is not None
    assert find_module("vendor.inner.other") is None
    assert find_module("vendor.other.driver") is None
    assert find_module("vendor.inner.driver.deeper") is None
    assert not [name for name in sys.modules if name.startswith("vendor")]


def test_what_is_there_and_what_is_not() -> None:
    assert find_module("json") is not None
    assert find_module("json.decoder") is not None
    assert find_module("frobnicate.python.runtime") is None


def test_a_folder_of_that_name_is_no_package_with_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vendorless").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_module("vendorless.python.runtime") is None


def test_a_module_without_a_place_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vendored", types.ModuleType("vendored"))
    assert find_module("vendored.python") is None
