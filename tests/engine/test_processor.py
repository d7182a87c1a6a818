"""How many processors a process may use, by affinity and container quota, and what they compute in."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from u2forge.engine import processor


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    processor.processor_name.cache_clear()
    processor.has_native_bfloat16.cache_clear()
    yield
    processor.processor_name.cache_clear()
    processor.has_native_bfloat16.cache_clear()


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the control groups', on a machine of 8 processors."""
    monkeypatch.setattr(processor, "_CGROUP2_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(processor, "_CGROUP1_QUOTA", tmp_path / "cpu.cfs_quota_us")
    monkeypatch.setattr(processor, "_CGROUP1_PERIOD", tmp_path / "cpu.cfs_period_us")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def test_without_control_groups_it_is_the_affinity(cgroup: Path) -> None:
    assert processor.usable_processors() == 8


def test_without_affinity_it_is_what_the_system_counts(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processor.usable_processors() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processor.usable_processors() == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("", 8),
        ("200000", 8),
        ("200000 0", 8),
        ("lots of them", 8),
    ],
)
def test_the_quota_of_control_groups_2(cgroup: Path, text: str, count: int) -> None:
    (cgroup / "cpu.max").write_text(text)
    assert processor.usable_processors() == count


@pytest.mark.parametrize(
    ("quota", "period", "count"),
    [("-1", "100000", 8), ("300000", "100000", 3), ("50000", "100000", 1), ("1", "0", 8), ("x", "y", 8)],
)
def test_the_quota_of_control_groups_1(cgroup: Path, quota: str, period: str, count: int) -> None:
    (cgroup / "cpu.cfs_quota_us").write_text(quota)
    (cgroup / "cpu.cfs_period_us").write_text(period)
    assert processor.usable_processors() == count


def test_a_narrow_affinity_wins_over_a_wide_quota(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cgroup / "cpu.max").write_text("400000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert processor.usable_processors() == 1


@pytest.mark.parametrize(
    ("lines", "native"),
    [
        (["flags\t\t: fpu avx2 avx512_bf16"], True),
        (["flags\t\t: fpu amx_bf16 amx_tile"], True),
        (["flags\t\t: fpu avx2 avx512f"], False),
        (["Features\t: fp asimd bf16"], None),
        ([], None),
    ],
)
def test_native_bfloat16(monkeypatch: pytest.MonkeyPatch, lines: list[str], native: bool | None) -> None:
    monkeypatch.setattr(processor, "_cpuinfo", lambda: lines)
    assert processor.has_native_bfloat16() is native


def test_the_processors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_cpuinfo", lambda: ["vendor_id: x", "model name\t: Abacus 9000: fast"])
    assert processor.processor_name() == "Abacus 9000: fast"
    processor.processor_name.cache_clear()
    monkeypatch.setattr(processor, "_cpuinfo", list)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    assert processor.processor_name() == "abacus"


@pytest.mark.parametrize(
    ("machine", "arm"), [("aarch64", True), ("arm64", True), ("ARM64", True), ("x86_64", False)]
)
def test_arm(monkeypatch: pytest.MonkeyPatch, machine: str, arm: bool) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert processor.is_arm() is arm
