"""Which engines this machine has, on which devices, and in which precision each mode really runs there."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from u2forge.engine.probe_model import write_probe_model
from u2forge.engine.protocol import EngineInfo, EngineOptions
from u2forge.engine.registry import ENGINES, engine_devices, open_engine
from u2forge.engine.unused_gpu import note_of_unused, runs_on_gpu, unused_gpu
from u2forge.errors import U2ForgeError
from u2forge.precision import PRECISION_MODES

_NOT_RUN = "not run"


@dataclass(frozen=True)
class DeviceStatus:
    """One device of an engine. precisions: mode → what it executed in, or the reason why it did not."""

    device: str
    device_name: str
    precisions: Mapping[str, str]

    @property
    def runs(self) -> bool:
        """Whether it ran in any precision."""
        return any(not executed.startswith(_NOT_RUN) for executed in self.precisions.values())


@dataclass(frozen=True)
class EngineStatus:
    """One engine. version and devices where it is available, else the reason and what brings it. note: what to know."""

    engine: str
    version: str | None
    devices: tuple[DeviceStatus, ...]
    reason: str | None = None
    install: str | None = None
    note: str | None = None

    @property
    def available(self) -> bool:
        """Whether it can be opened."""
        return self.reason is None

    def __str__(self) -> str:
        note = "" if self.note is None else f" ({self.note})"
        if not self.available:
            return f"{self.engine}{note}: not available: {self.reason}. To mend: {self.install}"
        lines = [f"{self.engine} {self.version}{note}"]
        for device in self.devices:
            lines.append(f"  {device.device}: {device.device_name}")
            lines += [
                f"    {executed}: {', '.join(mode for mode, found in device.precisions.items() if found == executed)}"
                for executed in dict.fromkeys(device.precisions.values())
            ]
        return "\n".join(lines)


def available_engines() -> list[EngineStatus]:
    """Every engine that u2forge knows; each installed one is tried with a tiny model on each of its devices."""
    statuses = [_status(name) for name in ENGINES]
    if any(runs_on_gpu(status.devices) for status in statuses):
        return statuses
    gpu = unused_gpu()
    return statuses if gpu is None else [_with_unused(status, gpu) for status in statuses]


def _with_unused(status: EngineStatus, gpu: str) -> EngineStatus:
    notes = [status.note, note_of_unused(ENGINES[status.engine], gpu)]
    return replace(status, note="; ".join(note for note in notes if note is not None) or None)


def _status(name: str) -> EngineStatus:
    entry = ENGINES[name]
    if not entry.installed:
        return EngineStatus(name, None, (), entry.missing, entry.install, entry.note)
    try:
        devices = tuple(_device_status(name, device) for device in engine_devices(name))
    except U2ForgeError as error:
        return EngineStatus(name, None, (), f"it does not load ({error.found})", entry.install, entry.note)
    except Exception as error:  # nor may one that loads and then fails stop the list
        return EngineStatus(name, None, (), f"it does not work ({error})", entry.install, entry.note)
    return EngineStatus(name, _version(entry.module.split(".")[0]), devices, note=entry.note)


def _device_status(name: str, device: str) -> DeviceStatus:
    if ENGINES[name].target != "portable":
        # A model would have to be built for it, and what runs be reported by it.
        return DeviceStatus(device, "no precision tried", {})
    found: dict[str, str] = {}
    device_name = device
    with tempfile.TemporaryDirectory(prefix="u2forge-probe-") as folder:
        for mode in PRECISION_MODES:
            path = Path(folder) / f"{mode}.onnx"
            write_probe_model(path, mode)
            try:
                info = _opened_info(path, name, device)
            except U2ForgeError as error:
                found[mode] = f"{_NOT_RUN} ({error.found})"
                continue
            found[mode] = info.precision_executed
            device_name = info.device_name
    return DeviceStatus(device, device_name, found)


def _opened_info(path: Path, name: str, device: str) -> EngineInfo:
    engine = open_engine(path, engine=name, options=EngineOptions(device=device))
    try:
        return engine.info
    finally:
        engine.close()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # onnxruntime-gpu and its like bring the module under another distribution's name.
        return str(getattr(sys.modules.get(package), "__version__", "of unknown version"))
