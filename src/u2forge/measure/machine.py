"""The machine and the versions that measured figures belong to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from u2forge.engine.processor import processor_name, usable_processors
from u2forge.measure.control_group import control_group_files

_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_MAKER = Path("/sys/class/dmi/id")
_PROCESSORS = Path("/sys/devices/system/cpu")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def machine_facts(packages: Sequence[str]) -> dict[str, object]:
    """Processor, memory, system, date and the installed versions of `packages`; None for what the system does not tell.

    processors_usable: by affinity and by the container's quota; frequency_mhz: just now.
    """
    flags = _processor_flags()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "processor_features": [name for name in _FEATURES if name in flags],
        "processors": os.cpu_count(),
        "processors_usable": usable_processors(),
        "frequency_mhz": frequency_mhz(),
        "governor": _text(_GOVERNOR),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "hypervisor": _hypervisor(flags),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in packages},
    }


def frequency_mhz() -> float | None:
    """The processors' mean frequency just now; None where the system does not tell."""
    try:
        found = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError, RuntimeError):
        return None
    return float(found.current) if found is not None and found.current else None


def last_level_cache_bytes() -> int | None:
    """All of the processors' last caches together, each of which some of them share; None where the system does not
    tell."""
    sizes: dict[tuple[str, str | None], int] = {}
    for caches in _PROCESSORS.glob("cpu[0-9]*/cache"):
        last = max(caches.glob("index[0-9]*"), key=lambda folder: folder.name, default=None)
        size = None if last is None else _text(last / "size")
        if last is not None and size is not None and size[:-1].isdecimal() and size[-1] in _UNITS:
            shared = _text(last / "shared_cpu_list") or caches.parent.name
            sizes[last.name, shared] = int(size[:-1]) * _UNITS[size[-1]]
    return sum(sizes.values()) or None


def available_memory_bytes() -> int:
    """Memory that can be taken without harm to others, by the system and by the container's limit."""
    found = [int(psutil.virtual_memory().available)]
    for limit in control_group_files("memory.max", controller="memory"):
        with suppress(OSError, ValueError, KeyError):  # `max` where there is none
            used = int((limit.parent / "memory.current").read_text(encoding="ascii"))
            statistics = (limit.parent / "memory.stat").read_text(encoding="ascii").splitlines()
            files = int(dict(line.split() for line in statistics)["inactive_file"])
            # Files that are kept in memory make room when it is needed.
            found.append(int(limit.read_text(encoding="ascii")) - used + files)
    return max(0, min(found))


def _processor_flags() -> frozenset[str]:
    """Features that a Linux system lists of its first processor."""
    for line in (_text(_CPUINFO) or "").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def _hypervisor(flags: frozenset[str]) -> str | None:
    """Who made a virtual machine, or `unnamed`; None on a real one, and where the system does not tell."""
    if "hypervisor" not in flags:
        return None
    names = [_text(_MAKER / name) for name in ("sys_vendor", "product_name")]
    return " ".join(name for name in names if name) or "unnamed"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
