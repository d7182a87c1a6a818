"""The devices that a program sees: number 0 is this machine's own, further ones are accelerators that engines find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import ENGINES, check_engine, engine_devices
from u2forge.errors import InputError, U2ForgeError

# What an engine calls a processor, which number 0 already is.
_PROCESSORS = {"cpu"}


@dataclass(frozen=True)
class LocalDevice:
    """engine, device, threads: as EngineOptions and open_engine take them."""

    engine: str
    device: str
    threads: int | None = None

    def __str__(self) -> str:
        return "the processor" if self == _OWN else f"{self.device} (engine {self.engine})"


_OWN = LocalDevice("auto", "auto")


class _Chosen:
    """What number 0 is, and which device a program has activated; one for the process, as cards are."""

    own = _OWN
    active: LocalDevice | None = None


def device_to_work_on() -> LocalDevice:
    """The active device, else number 0."""
    return _Chosen.active or _Chosen.own


def active_device() -> LocalDevice | None:
    """The device that was activated last."""
    return _Chosen.active


def activate(device: LocalDevice) -> None:
    """Makes it the one that engines and queues are made for."""
    _Chosen.active = device


def local_devices() -> list[LocalDevice]:
    """All devices, by their numbers."""
    return [_Chosen.own, *(found for found in _accelerators() if found != _Chosen.own)]


@contextmanager
def device_zero(engine: str, device: str, *, threads: int | None = None) -> Iterator[None]:
    """Within, number 0 is this device of this engine, and none is active at first.

    Raises InputError, MissingDependencyError, EngineError where they are not there.
    """
    if engine in ENGINES and ENGINES[engine].target != "portable":
        raise InputError(
            where="magicmind run, option 'engine'",
            expected="an engine of u2forge's own: with this verb, MagicMind's modules lead to it",
            found=engine,
            fix="leave --engine out; with the SDK installed, `python SCRIPT` runs the program on the card",
        )
    check_engine(engine, device=device)
    EngineOptions(device=device, threads=threads)
    before = _Chosen.own, _Chosen.active
    _Chosen.own, _Chosen.active = LocalDevice(engine, device, threads), None
    try:
        yield
    finally:
        _Chosen.own, _Chosen.active = before


@cache
def _accelerators() -> tuple[LocalDevice, ...]:
    found = []
    for name, entry in ENGINES.items():
        # One that `auto` takes for named devices only is no program's without --engine, either.
        if (
            entry.target != "portable"
            or entry.extra is None
            or not (entry.installed and entry.may_have("auto"))
        ):
            continue
        try:
            found += [LocalDevice(name, device) for device in engine_devices(name)]
        except U2ForgeError:  # a broken installation: `u2forge engines` says why
            continue
    return tuple(device for device in found if device.device.lower() not in _PROCESSORS)
