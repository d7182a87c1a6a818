"""Cambricon's MagicMind SDK (magicmind.python.runtime): its modules, its devices, and its Status answers made errors.

Written from the documented API alone, and not verified on hardware: no MLU was at hand.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from u2forge.engine.fits_manifest import FoundTensor
from u2forge.errors import EngineError, InputError, MissingDependencyError

NAME = "magicmind"
MODULE = "magicmind.python.runtime"
_DEVICE = "mlu"


def sdk(module: str = "") -> Any:
    """A module of the SDK: the runtime, or one by its name below `magicmind.python`.

    Raises MissingDependencyError where it does not load.
    """
    name = f"magicmind.python.{module}" if module else MODULE
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            where=f"engine {NAME!r}",
            expected=f"the module {name}",
            found=str(error)[:300],
            fix="install Cambricon's SDK again",
        ) from error


def sdk_version() -> str:
    """What the SDK's package says; its modules are not known to."""
    try:
        return version("magicmind")
    except PackageNotFoundError:
        return "of unknown version"


def failure(answer: object) -> str | None:
    """What the SDK says where an answer of its is a Status that is not ok.

    Not of every call is it documented whether it answers with a Status: anything else passes.
    """
    ok = getattr(answer, "ok", None)
    return None if ok is None or ok() else str(answer).strip()[:500] or "a failure without a message"


def checked(answer: object, *, call: str, fix: str) -> None:
    """Raises EngineError, with the SDK's message, where the call's answer is a Status that is not ok."""
    found = failure(answer)
    if found is not None:
        raise sdk_error(call, expected="a Status that is ok", found=found, fix=fix)


def present(answer: Any, *, call: str, fix: str) -> Any:
    """The answer of a call that makes something. Raises EngineError where it is None."""
    if answer is None:
        raise sdk_error(call, expected="an object", found="None; the SDK's own log says more", fix=fix)
    return answer


def sdk_error(call: str, *, expected: str, found: str, fix: str) -> EngineError:
    """The error of one call of the SDK."""
    return EngineError(where=f"MagicMind SDK, {call}", expected=expected, found=found, fix=fix)


def magicmind_devices() -> list[str]:
    """mlu:0, mlu:1, …: the cards that the SDK counts. Raises EngineError where it does not start."""
    with system() as running:
        return [f"{_DEVICE}:{number}" for number in range(int(running.device_count()))]


def find_device(devices: Sequence[str], asked: str) -> str:
    """The device asked for, the first for auto and mlu. Raises InputError on another kind, EngineError where there is
    none, or not that one."""
    name = asked.lower()
    kind, _, number = name.partition(":")
    if name != "auto" and (kind != _DEVICE or (number and not number.isdigit())):
        raise InputError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"auto, {_DEVICE} or {_DEVICE}:NUMBER",
            found="an unknown name",
            fix=f"choose one that is there: {', '.join(devices) or 'none'}",
        )
    wanted = f"{_DEVICE}:{int(number or 0)}" if name != "auto" else f"{_DEVICE}:0"
    if wanted not in devices:
        raise EngineError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(devices)}" if devices else "an MLU card",
            found="no such device" if devices else "none that the SDK counts",
            fix="look at the card and its driver with Cambricon's tools, or choose another engine",
        )
    return wanted


def active_device(name: str) -> Any:
    """The SDK's Device of that name, active in this thread. Raises EngineError. To call inside `system`."""
    device = sdk().Device()
    device.id = int(name.partition(":")[2])
    activate(device)
    return device


def activate(device: Any) -> None:
    """Makes it this thread's device: whether the SDK keeps one for all threads is not documented."""
    checked(
        device.active(),
        call=f"Device {device.id}, active",
        fix="look at the card and its driver with Cambricon's tools",
    )


def sdk_tensors(model: Any) -> tuple[list[FoundTensor], list[FoundTensor]]:
    """Inputs and outputs of an SDK's Model, in its order."""
    numpy_type = sdk("common.types").get_numpy_dtype_by_datatype

    def found(names: Any, dimensions: Any, types: Any) -> list[FoundTensor]:
        return [
            (
                str(name),
                np.dtype(numpy_type(kind)).name,
                tuple(None if size < 0 else int(size) for size in dims.GetDims()),
            )
            for name, dims, kind in zip(names, dimensions, types, strict=True)
        ]

    return (
        found(model.get_input_names(), model.get_input_dimensions(), model.get_input_data_types()),
        found(model.get_output_names(), model.get_output_dimensions(), model.get_output_data_types()),
    )


def under_our_names(found: Sequence[FoundTensor], ours: Sequence[str]) -> list[FoundTensor]:
    """The SDK's tensors in its order, under our names: by name where it kept all of them, else by their order, which
    its parsers keep. As many as there are; the check against the manifest finds what lacks or differs."""
    if {name for name, _, _ in found} == set(ours) or len(found) != len(ours):
        return list(found)
    return [(name, dtype, shape) for name, (_, dtype, shape) in zip(ours, found, strict=True)]


class _SharedSystem:
    """The SDK's System, entered once for all that use it in this process: what the end of one does to another's
    devices is not documented."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._system: Any = None
        self._users = 0

    @contextmanager
    def entered(self) -> Iterator[Any]:
        """Yields the System, started for the first that enters and ended by the last that leaves."""
        with self._lock:
            if not self._users:
                self._system = self._stack.enter_context(_started(sdk().System()))
            self._users += 1
        try:
            yield self._system
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._system = None
                    self._stack.close()


@contextmanager
def _started(given: Any) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(given)
        except Exception as error:  # which kind it raises is not documented
            raise sdk_error(
                "System",
                expected="it to start",
                found=str(error).strip()[:500] or type(error).__name__,
                fix="look at the card and its driver with Cambricon's tools",
            ) from error
        yield running


_SYSTEM = _SharedSystem()


@contextmanager
def system() -> Iterator[Any]:
    """Yields the SDK's System; devices live inside it."""
    with _SYSTEM.entered() as running:
        yield running
