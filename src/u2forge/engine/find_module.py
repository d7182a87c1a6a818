"""Whether a module is installed, without importing anything of it."""

from __future__ import annotations

from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec


def find_module(name: str) -> ModuleSpec | None:
    """Where the module would be loaded from, None where it is not there. Unlike importlib's find_spec, this imports no
    parent package of a dotted name: an SDK's may load its driver."""
    first, *rest = name.split(".")
    try:
        spec = find_spec(first)
    except ValueError:  # it was put into sys.modules by hand, without a place that it came from
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec
