"""What the machine says of itself; what it does not tell is None, never a guess."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from u2forge.measure import machine
from u2forge.measure.machine import frequency_mhz, machine_facts


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
    for name in ("_CPUINFO", "_GOVERNOR", "_MAKER"):
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
