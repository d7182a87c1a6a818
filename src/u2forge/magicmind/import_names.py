"""MagicMind's module names, which lead to this package while a program of MagicMind runs, and at no other time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from u2forge.engine.find_module import find_module

TOP = "magicmind"
_ALL = "u2forge.magicmind"
# Which of our names a module has; of the packages, none.
MODULES: dict[str, tuple[str, ...] | None] = {
    TOP: (),
    f"{TOP}.python": (),
    f"{TOP}.python.runtime": None,
    f"{TOP}.python.runtime.parser": ("Parser", "ModelKind"),
    f"{TOP}.python.common": (),
    f"{TOP}.python.common.types": ("DataType", "get_numpy_dtype_by_datatype"),
    f"{TOP}.python.cc": (),
    f"{TOP}.python.cc._pywrap_runtime": None,
}
_PACKAGES = {name for name in MODULES if any(other.startswith(f"{name}.") for other in MODULES)}


class _Names(MetaPathFinder, Loader):
    """Finds and fills these modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] != TOP:
            return None
        if fullname not in MODULES:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: of MagicMind, u2forge has {', '.join(MODULES)}", name=fullname
            )
        return ModuleSpec(fullname, self, origin=_ALL, is_package=fullname in _PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        ours = importlib.import_module(_ALL)
        names = MODULES[module.__name__]
        for name in ours.__all__ if names is None else names:
            setattr(module, name, getattr(ours, name))


@contextmanager
def magicmind_names() -> Iterator[None]:
    """Within, `import magicmind…` gives u2forge's implementation, also where the real SDK is installed."""
    finder = _Names()
    before = _taken_out()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _taken_out()
        sys.modules.update(before)


def installed_sdk() -> str | None:
    """Where MagicMind's own runtime is installed, None where it is not. Nothing of it is imported."""
    spec = find_module(f"{TOP}.python.runtime")
    return None if spec is None else spec.origin or TOP


def _taken_out() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == TOP}
