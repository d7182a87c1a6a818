"""What the machine says of itself; what it does not tell is None, never a guess."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from u2forge.measure import control_group, machine
from u2forge.measure.machine import (
    available_memory_bytes,
    frequency_mhz,
    last_level_cache_bytes,
    machine_facts,
)


def test_facts_are_plain_and_versions_are_named() -> None:
    facts = machine_facts(("u2forge", "no-such-package"))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["processor"]
    assert facts["processors"] == os.cpu_count()
    usable = facts["processors_usable"]
    assert isinstance(usable, int)
    assert 1 <= usable <= (os.cpu_count() or 1)
    assert isinstance(facts["memory_gib"], float)
    assert facts["versions"] == {"u2forge": machine._version("u2forge"), "no-such-package": "not installed"}
    assert str(facts["date"]).endswith("+00:00")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of a system that tells nothing yet."""
    for name in ("_CPUINFO", "_GOVERNOR", "_MAKER", "_PROCESSORS"):
        monkeypatch.setattr(machine, name, tmp_path / name)
    (tmp_path / "_MAKER").mkdir()
    return tmp_path


def test_a_silent_system(system: Path) -> None:
    facts = machine_facts(())
    assert (facts["governor"], facts["hypervisor"], facts["processor_features"]) == (None, None, [])


def test_a_machine_that_tells_all(system: Path) -> None:
    (system / "_CPUINFO").write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 hypervisor amx_int8\n\nprocessor\t: 1\n"
    )
    (system / "_GOVERNOR").write_text("performance\n")
    (system / "_MAKER/sys_vendor").write_text("QEMU\n")
    facts = machine_facts(())
    assert facts["governor"] == "performance"
    assert facts["hypervisor"] == "QEMU"
    assert facts["processor_features"] == ["avx2", "amx_int8"]


def test_a_hypervisor_without_a_name(system: Path) -> None:
    (system / "_CPUINFO").write_text("flags : hypervisor\n")
    assert machine_facts(())["hypervisor"] == "unnamed"


def test_no_hypervisor_on_a_real_machine(system: Path) -> None:
    (system / "_CPUINFO").write_text("flags : fpu\n")
    (system / "_MAKER/sys_vendor").write_text("Dell Inc.\n")
    assert machine_facts(())["hypervisor"] is None


@pytest.mark.parametrize("error", [AttributeError, NotImplementedError, FileNotFoundError])
def test_a_frequency_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def unknown() -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_freq", unknown)
    assert frequency_mhz() is None
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    assert frequency_mhz() is None


def add_cache(system: Path, processor: int, index: int, size: str, shared: str) -> None:
    folder = system / f"_PROCESSORS/cpu{processor}/cache/index{index}"
    folder.mkdir(parents=True)
    (folder / "size").write_text(f"{size}\n")
    (folder / "shared_cpu_list").write_text(f"{shared}\n")


def test_last_caches_that_processors_share_count_once(system: Path) -> None:
    assert last_level_cache_bytes() is None
    for processor in range(4):
        add_cache(system, processor, 2, "1024K", str(processor))
        add_cache(system, processor, 3, "32768K", "0-1" if processor < 2 else "2-3")
    assert last_level_cache_bytes() == 2 * 32 * 2**20


def test_a_processor_without_a_third_level(system: Path) -> None:
    add_cache(system, 0, 0, "32K", "0")
    add_cache(system, 0, 2, "2M", "0-3")
    assert last_level_cache_bytes() == 2 * 2**20


def test_a_cache_of_unknown_size(system: Path) -> None:
    add_cache(system, 0, 3, "", "0")
    add_cache(system, 1, 3, "lots", "1")
    assert last_level_cache_bytes() is None


@pytest.mark.parametrize(("limit", "expected_mib"), [("max", 1000), (str(600 * 2**20), 300), ("1", 0)])
def test_a_containers_limit_bounds_the_available_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected_mib: int
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000 * 2**20))
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "own")
    monkeypatch.setattr(control_group, "_MOUNTED", tmp_path)
    assert available_memory_bytes() == 1000 * 2**20
    (tmp_path / "own").write_text("0::/box\n")
    (tmp_path / "box").mkdir()
    (tmp_path / "box/memory.max").write_text(f"{limit}\n")
    (tmp_path / "box/memory.current").write_text(f"{400 * 2**20}\n")
    (tmp_path / "box/memory.stat").write_text(f"anon 5\ninactive_file {100 * 2**20}\n")
    assert available_memory_bytes() == expected_mib * 2**20
