"""The sampler: each process by its own turns, other load apart from it, and nothing where nothing is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from nvidia_doubles import FIRST, SECOND, driver

from u2forge.measure import control_group, nvidia_gpu, utilization
from u2forge.measure.machine_state import MachineState, machine_warnings, read_machine_state
from u2forge.measure.nvidia_gpu import open_nvidia_gpu, runs_on_nvidia
from u2forge.measure.perf_row import UTILIZATION
from u2forge.measure.utilization import UtilizationSampler

SPIN = "import time\nprint(flush=True)\nwhile True: pass"
SLEEP = "import time\nprint(flush=True)\ntime.sleep(60)"
GPU = ("gpu_percent", "gpu_memory_mb", "gpu_power_w", "gpu_temperature_c")
Start = Callable[[str], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs that are ended after the test."""
    programs: list[subprocess.Popen[bytes]] = []

    def started(code: str) -> int:
        programs.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE))
        assert programs[-1].stdout is not None
        programs[-1].stdout.readline()
        return programs[-1].pid

    yield started
    for program in programs:
        program.kill()
        program.communicate()


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def state(
    at_s: float = 0.0, *, quotas: dict[str, tuple[int, int]] | None = None, **facts: float
) -> MachineState:
    known = dict.fromkeys(("busy_s", "temperature_c", "frequency_mhz", "stolen_s"))
    values = {"processors": 4, **known, **facts}
    return MachineState(at_s=at_s, quotas=quotas or {}, **values)  # type: ignore[arg-type]


def test_each_process_has_the_figures_of_its_own_turns(start: Start) -> None:
    busy, idle = start(SPIN), start(SLEEP)
    sampler = UtilizationSampler(interval_s=0.02)
    with sampler.watching([busy, idle]):
        for pid in (busy, idle, busy, idle):
            sampler.turn_begins(pid)
            time.sleep(0.15)
            sampler.turn_ends()
            time.sleep(0.05)
    of_busy, of_idle = sampler.utilization(busy), sampler.utilization(idle)
    assert list(of_busy) == list(UTILIZATION)
    for found in (of_busy, of_idle):
        assert found["cpu_percent"] is not None
        assert found["memory_mb"] is not None
        assert 1 < found["memory_mb"].min <= found["memory_mb"].max < 1000
        assert [found[name] for name in GPU] == [None] * 4
    assert of_busy["cpu_percent"] is not None
    assert of_idle["cpu_percent"] is not None
    # However busy the machine is: one of them asks for processor time all along, the other one never.
    assert of_busy["cpu_percent"].mean > of_idle["cpu_percent"].mean
    assert of_idle["cpu_percent"].mean < 10


def test_turns_shorter_than_an_interval_count_too(start: Start) -> None:
    pid = start(SLEEP)
    sampler = UtilizationSampler(interval_s=0.1)
    with sampler.watching([pid]):
        for _ in range(15):
            sampler.turn_begins(pid)
            time.sleep(0.01)
            sampler.turn_ends()
    found = sampler.utilization(pid)["cpu_percent"]
    assert found is not None
    assert 1 <= found.count <= 6


def test_without_a_turn_there_is_nothing(start: Start) -> None:
    pid = start(SLEEP)
    sampler = UtilizationSampler(interval_s=0.01)
    with sampler.watching([pid]):
        time.sleep(0.05)
    assert set(sampler.utilization(pid).values()) == {None}
    assert set(sampler.utilization(1).values()) == {None}
    assert (sampler.other_load(pid), sampler.other_load(), sampler.warnings()) == (None, None, [])


def test_a_process_that_ends_in_its_turn_keeps_what_was_seen(start: Start) -> None:
    pid = start(SLEEP)
    sampler = UtilizationSampler(interval_s=0.02)
    with sampler.watching([pid]):
        sampler.turn_begins(pid)
        time.sleep(0.1)
        process = psutil.Process(pid)
        process.kill()
        process.wait(10)
        time.sleep(0.05)
        sampler.turn_ends()
        sampler.turn_begins(pid)
        sampler.turn_ends()
    assert sampler.utilization(pid)["memory_mb"] is not None


def test_a_process_that_is_not_there_is_no_error() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sampler = UtilizationSampler()
    with sampler.watching([ended.pid]):
        sampler.turn_begins(ended.pid)
        sampler.turn_ends()
    assert sampler.other_load() is None


def test_other_load_is_what_neither_the_turns_process_nor_this_one_used(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, other = start(SLEEP), start(SLEEP)
    sampler = UtilizationSampler(interval_s=60)
    clock = {"at": 0.0, "busy": 100.0, pid: 0.0, other: 0.0, psutil.Process().pid: 0.0}
    monkeypatch.setattr(utilization, "read_machine_state", lambda: state(clock["at"], busy_s=clock["busy"]))
    monkeypatch.setattr(utilization, "_cpu_s", lambda process: clock[process.pid])
    with sampler.watching([pid, other]):
        for one, others_s in ((pid, 0.2), (other, 2.0), (pid, 0.2)):
            sampler.turn_begins(one)
            clock["at"] += 1.0
            clock[one] += 1.5
            clock[psutil.Process().pid] += 0.1
            clock["busy"] += 1.5 + 0.1 + others_s
            sampler.turn_ends()
            clock["busy"] += 50  # between turns nobody looks
    assert sampler.other_load(pid) == pytest.approx(0.4 / (2 * 4))
    assert sampler.other_load(other) == pytest.approx(2.0 / 4)
    assert sampler.other_load() == pytest.approx(2.4 / (3 * 4))


@pytest.mark.parametrize(("turn_s", "known"), [(0.02, False), (0.06, True)])
def test_of_less_than_half_a_second_there_is_no_other_load(
    start: Start, monkeypatch: pytest.MonkeyPatch, turn_s: float, known: bool
) -> None:
    pid = start(SLEEP)
    sampler = UtilizationSampler(interval_s=60)
    clock = {"at": 0.0, "busy": 100.0}
    monkeypatch.setattr(utilization, "read_machine_state", lambda: state(clock["at"], busy_s=clock["busy"]))
    with sampler.watching([pid]):
        for _ in range(10):
            sampler.turn_begins(pid)
            clock["at"] += turn_s
            clock["busy"] += 0.01  # the system's step
            sampler.turn_ends()
    assert (sampler.other_load(pid) is not None) == known
    assert (sampler.other_load() is not None) == known


def times(user: float, steal: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(user=user, nice=0.0, system=1.0, idle=50.0, irq=0.0, softirq=0.0, steal=steal)


def test_only_processors_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [times(10.0), times(20.0, 3.0), times(30.0), times(40.0, 4.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: each)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3}, raising=False)
    found = read_machine_state()
    assert (found.processors, found.busy_s, found.stolen_s) == (2, 62.0, 7.0)
    # One is switched off, and the others have moved up.
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4}, raising=False)
    assert (read_machine_state().processors, read_machine_state().busy_s) == (4, 104.0)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert (read_machine_state().processors, read_machine_state().busy_s) == (4, 104.0)


def test_a_system_that_lists_no_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [])
    found = read_machine_state()
    assert (found.processors, found.busy_s, found.stolen_s) == (1, None, None)


def test_a_system_that_does_not_count_has_no_other_load(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = start(SLEEP)
    monkeypatch.setattr(utilization, "read_machine_state", lambda: state(time.perf_counter()))
    sampler = UtilizationSampler()
    with sampler.watching([pid]):
        sampler.turn_begins(pid)
        sampler.turn_ends()
    assert sampler.other_load(pid) is None
    assert set(sampler.machine().values()) == {None}


def test_this_machine_can_be_read() -> None:
    before, after = read_machine_state(), read_machine_state()
    assert after.at_s > before.at_s
    if before.busy_s is not None and after.busy_s is not None:
        assert after.busy_s >= before.busy_s


def test_sensors_of_the_processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def sensors() -> dict[str, list[SimpleNamespace]]:
        hot = {"nvme": [90.0], "coretemp": [61.0, 64.5]}
        return {name: [SimpleNamespace(current=one) for one in values] for name, values in hot.items()}

    monkeypatch.setattr(psutil, "sensors_temperatures", sensors, raising=False)
    assert read_machine_state().temperature_c == 64.5
    monkeypatch.setattr(psutil, "sensors_temperatures", dict, raising=False)
    assert read_machine_state().temperature_c is None
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert read_machine_state().temperature_c is None


@pytest.mark.parametrize(
    ("lines", "tree"),
    [
        ("0::/box/job\n", ""),
        ("3:memory:/other\n2:cpu,cpuacct:/box/job\n1:name=systemd:/\n0::/\n", "cpu"),
        # Of a container that sees its group as the root, but is told its name outside.
        ("2:cpu,cpuacct:/docker/4f2a/box/job\n", "cpu"),
    ],
)
def test_the_quotas_statistics_of_all_own_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, tree: str
) -> None:
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "own")
    monkeypatch.setattr(control_group, "_MOUNTED", tmp_path)
    assert read_machine_state().quotas == {}
    (tmp_path / "own").write_text(lines)
    assert read_machine_state().quotas == {}
    root = tmp_path / tree
    group = root / ("docker/4f2a/box/job" if "docker" in lines else "box/job")
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 5\nnr_periods 0\nnr_throttled 0\n")
    (group.parent / "cpu.stat").write_text("nr_periods 40\nnr_throttled 3\nthrottled_usec 2500000\n")
    (root / "cpu.stat").write_text("usage_usec 5\n")
    (root / "elsewhere").mkdir()
    (root / "elsewhere/cpu.stat").write_text("nr_periods 9\nnr_throttled 9\n")
    assert read_machine_state().quotas == {str(group): (0, 0), str(group.parent): (40, 3)}


def test_a_group_outside_of_the_container_is_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "own")
    monkeypatch.setattr(control_group, "_MOUNTED", tmp_path / "mounted")
    (tmp_path / "own").write_text("0::/../neighbour\n")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "cpu.stat").write_text("nr_periods 1\nnr_throttled 1\n")
    (tmp_path / "mounted/cpu.stat").write_text("nr_periods 5\nnr_throttled 2\n")
    assert list(read_machine_state().quotas.values()) == [(5, 2)]


def test_a_quiet_machine_is_not_warned_of() -> None:
    quiet = {
        "busy_s": 1.0,
        "frequency_mhz": 3000.0,
        "stolen_s": 1.0,
        "temperature_c": 50.0,
    }
    assert machine_warnings([(state(at, **quiet), state(at + 1, **quiet)) for at in range(9)]) == []
    assert machine_warnings([(state(0), state(1))]) == []
    assert machine_warnings([]) == []


def test_what_was_taken_from_the_machine() -> None:
    def quotas(periods: int, throttled: int) -> dict[str, tuple[int, int]]:
        return {"/box/job": (0, 0), "/box": (periods, throttled), "/": (10 * periods, throttled)}

    pairs = [
        (state(0, stolen_s=1.0, quotas=quotas(0, 0)), state(1, stolen_s=1.4, quotas=quotas(10, 2))),
        # Between turns it does not matter.
        (state(5, stolen_s=9.0, quotas=quotas(90, 80)), state(6, stolen_s=9.4, quotas=quotas(100, 83))),
    ]
    assert machine_warnings(pairs) == [
        "the host of this virtual machine gave 10% of its processors' time to others meanwhile",
        "the container's quota of processor time held processes back in 25% of its periods: choose fewer --threads, or "
        "a larger quota",
    ]


def test_a_quota_that_was_met_now_and_then_is_not_warned_of() -> None:
    def pair(throttled: int) -> list[tuple[MachineState, MachineState]]:
        return [(state(0, quotas={"/": (0, 0)}), state(4, quotas={"/": (40, throttled)}))]

    assert machine_warnings(pair(2)) == []
    assert len(machine_warnings(pair(3))) == 1


def test_processors_that_became_slower() -> None:
    def turns(*frequencies: float, **facts: float) -> list[tuple[MachineState, MachineState]]:
        return [(state(at), state(at + 1, frequency_mhz=one, **facts)) for at, one in enumerate(frequencies)]

    assert machine_warnings(turns(3000, 3000, 2900, 2700, 2500, 2500, temperature_c=96.0)) == [
        "the processors' frequency fell from 3000 to 2500 MHz meanwhile, at up to 96 °C"
    ]
    assert machine_warnings(turns(2500, 2500, 2900, 2900, 3000, 3000)) == []
    assert machine_warnings(turns(3000, 2500)) == []


class FakeNvml:
    """What of NVML is used, for GPUs of these names; `silent`: what they do not support."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *uuids: str, silent: tuple[str, ...] = (), driver: bool = True) -> None:
        self.uuids = uuids or (f"GPU-{FIRST}", f"GPU-{SECOND}")
        self.silent = silent
        self.driver = driver
        self.open = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("library not found")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.uuids:
            raise self.NVMLError("no such device")
        return uuid

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return self._answer("load", SimpleNamespace(gpu=87, memory=40))

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return self._answer("memory", SimpleNamespace(used=1_500_000_000))

    def nvmlDeviceGetPowerUsage(self, handle: str) -> Any:
        return self._answer("power", 123_400)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> Any:
        return self._answer("temperature", 61)

    def _answer(self, name: str, value: Any) -> Any:
        if name in self.silent:
            raise self.NVMLError("not supported")
        return value


@pytest.fixture
def use_nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeNvml], FakeNvml]:
    monkeypatch.setattr(nvidia_gpu, "nvidia_driver", lambda: driver("H200", "L4"))

    def use(nvml: FakeNvml) -> FakeNvml:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return use


def test_a_gpu_is_read_in_our_units(use_nvml: Callable[[FakeNvml], FakeNvml]) -> None:
    nvml = use_nvml(FakeNvml())
    gpu = open_nvidia_gpu("cuda")
    assert gpu is not None
    assert gpu.read() == dict(zip(GPU, (87.0, 1500.0, 123.4, 61.0), strict=True))
    gpu.close()
    assert nvml.open == 0


def test_what_a_gpu_does_not_tell_is_none(use_nvml: Callable[[FakeNvml], FakeNvml]) -> None:
    use_nvml(FakeNvml(silent=("power", "load")))
    gpu = open_nvidia_gpu("cuda")
    assert gpu is not None
    assert gpu.read() == dict(zip(GPU, (None, 1500.0, None, 61.0), strict=True))


@pytest.mark.parametrize(
    ("device", "names", "uuids", "expected"),
    [
        ("cuda", ("H200", "L4"), (), f"GPU-{FIRST}"),
        ("cuda:1", ("H200", "L4"), (), f"GPU-{SECOND}"),
        ("cuda:1/bfloat16", ("H200", "L4"), (), f"GPU-{SECOND}"),
        ("tensorrt:1", ("H200", "L4"), (), f"GPU-{SECOND}"),
        ("NVIDIA.1", ("H200", "L4"), (), f"GPU-{SECOND}"),
        # What CUDA_VISIBLE_DEVICES hides, CUDA's driver does not tell: its first is NVML's second.
        ("cuda", ("L4",), (f"GPU-{SECOND}", f"GPU-{FIRST}"), f"GPU-{FIRST}"),
        ("cuda", ("H200 MIG 1g.18gb",), (f"MIG-{FIRST}",), f"MIG-{FIRST}"),
        ("GPU.1", ("RTX 4090",), (), f"GPU-{FIRST}"),
        ("GPU.1", ("RTX 4090", "L4"), (), None),
        ("cuda:2", ("H200", "L4"), (), None),
        ("cuda:x", ("H200",), (), None),
        ("cuda", (), (), None),
        ("cuda", ("H200",), (f"GPU-{SECOND}",), None),
    ],
)
def test_which_gpu_is_meant(
    use_nvml: Callable[[FakeNvml], FakeNvml],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    names: tuple[str, ...],
    uuids: tuple[str, ...],
    expected: str | None,
) -> None:
    nvml = use_nvml(FakeNvml(*uuids))
    monkeypatch.setattr(nvidia_gpu, "nvidia_driver", lambda: driver(*names))
    gpu = open_nvidia_gpu(device)
    assert (None if gpu is None else gpu._handle) == expected
    assert nvml.open == (0 if gpu is None else 1)


def test_no_driver_or_no_package_is_no_gpu(
    use_nvml: Callable[[FakeNvml], FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_nvidia_gpu("cuda") is None
    use_nvml(FakeNvml(driver=False))
    assert open_nvidia_gpu("cuda") is None
    use_nvml(FakeNvml())
    monkeypatch.setattr(nvidia_gpu, "nvidia_driver", lambda: None)
    assert open_nvidia_gpu("cuda") is None


def test_the_sampler_reads_the_gpu_in_turns(start: Start, use_nvml: Callable[[FakeNvml], FakeNvml]) -> None:
    nvml = use_nvml(FakeNvml(silent=("temperature",)))
    pid = start(SLEEP)
    sampler = UtilizationSampler(interval_s=0.02)
    with sampler.watching([pid], gpu={pid: "cuda"}):
        sampler.turn_begins(pid)
        time.sleep(0.1)
        sampler.turn_ends()
    found = sampler.utilization(pid)
    assert found["gpu_percent"] is not None
    assert found["gpu_percent"].mean == 87
    assert found["gpu_temperature_c"] is None
    assert nvml.open == 0


def test_a_process_has_the_figures_of_its_own_gpu(
    start: Start, use_nvml: Callable[[FakeNvml], FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = use_nvml(FakeNvml())
    loads = {f"GPU-{FIRST}": 87, f"GPU-{SECOND}": 12}
    monkeypatch.setattr(
        nvml, "nvmlDeviceGetUtilizationRates", lambda handle: SimpleNamespace(gpu=loads[handle])
    )
    without, first, second, missing = (start(SLEEP) for _ in range(4))
    sampler = UtilizationSampler(interval_s=0.02)
    pids = [without, first, second, missing]
    with sampler.watching(pids, gpu={first: "cuda", second: "tensorrt:1", missing: "cuda:7"}):
        for pid in pids:
            sampler.turn_begins(pid)
            time.sleep(0.1)
            sampler.turn_ends()
    for pid in (without, missing):
        assert [sampler.utilization(pid)[name] for name in GPU] == [None] * 4
    for pid, load in ((first, 87), (second, 12)):
        found = sampler.utilization(pid)
        assert None not in [found[name] for name in GPU]
        assert found["gpu_percent"] is not None
        assert (found["gpu_percent"].min, found["gpu_percent"].max) == (load, load)
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("device", "device_name", "expected"),
    [
        ("cuda", "CUDAExecutionProvider", True),
        ("tensorrt", "TensorrtExecutionProvider", True),
        ("cuda:0", "CUDAExecutionProvider", True),
        ("NVIDIA.0", "NVIDIA GeForce RTX 4090", True),
        ("GPU.1", "NVIDIA GeForce RTX 4090 (dGPU)", True),
        ("GPU", "Intel(R) Arc(TM) A770 Graphics (dGPU)", False),
        ("GPU.0", "Intel(R) UHD Graphics (iGPU)", False),
        ("directml", "DmlExecutionProvider", False),
        ("CPU", "AMD EPYC", False),
        ("cpu", "", False),
    ],
)
def test_which_devices_are_nvidia_gpus(device: str, device_name: str, expected: bool) -> None:
    assert runs_on_nvidia(device, device_name=device_name) == expected


def test_the_machines_heat_and_frequency_at_the_ends_of_turns(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = start(SLEEP)
    seen = iter([state(0), state(1, temperature_c=60.0, frequency_mhz=3000.0)] * 2)
    monkeypatch.setattr(utilization, "read_machine_state", lambda: next(seen))
    sampler = UtilizationSampler(interval_s=60)
    with sampler.watching([pid]):
        for _ in range(2):
            sampler.turn_begins(pid)
            sampler.turn_ends()
    found = sampler.machine()
    assert {name: one and (one.count, one.mean) for name, one in found.items()} == {
        "temperature_c": (2, 60.0),
        "frequency_mhz": (2, 3000.0),
    }
