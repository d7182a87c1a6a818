"""The processors that this process may use, and what half precision they have in hardware."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

_CGROUP2_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CGROUP1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
_VNNI_FLAGS = {"avx512_vnni", "avx_vnni"}
_NATIVE_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def usable_processors() -> int:
    """Processors that this process may use: its affinity, cut by its container's quota; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return affinity if quota is None else max(1, min(affinity, round(quota)))


def _quota() -> float | None:
    """The container's share of processor time, in processors; None where there is no limit."""
    try:
        words = _CGROUP2_QUOTA.read_text().split()
        if words:
            return None if words[0] == "max" else int(words[0]) / int(words[1])
        return None
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        pass
    try:
        quota = int(_CGROUP1_QUOTA.read_text())
        return quota / int(_CGROUP1_PERIOD.read_text()) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@cache
def processor_name() -> str:
    """What the processor calls itself."""
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@cache
def has_native_bfloat16() -> bool | None:
    """Whether an x86 processor multiplies bfloat16 in hardware; None where the system does not tell."""
    return _has_one_of(_NATIVE_BFLOAT16_FLAGS)


@cache
def has_amx_bfloat16() -> bool | None:
    """Whether an x86 processor multiplies matrices of bfloat16; None where the system does not tell."""
    return _has_one_of({"amx_bf16"})


@cache
def has_vnni() -> bool | None:
    """Whether an x86 processor adds products of 8-bit integers in 32 bits at once; None where the system does not tell,
    and on other processors."""
    return _has_one_of(_VNNI_FLAGS)


def _has_one_of(flags: set[str]) -> bool | None:
    for line in _cpuinfo():
        if line.startswith("flags"):
            return bool(flags & set(line.split()))
    return None


def is_arm() -> bool:
    """Whether this is a 64-bit Arm processor."""
    return platform.machine().lower() in ("aarch64", "arm64")


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
