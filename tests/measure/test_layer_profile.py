"""The layer table: all the work of the graph is found again in what the engine ran, and sums agree."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from installed_engines import INSTALLED, options_for

from u2forge.engine.layer_time import LayerTime
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.summary import summarize
from u2forge.measure import layer_profile
from u2forge.measure.candidate import Candidate
from u2forge.measure.layer_profile import (
    GraphWork,
    layer_table,
    layer_table_from,
    profile_candidate,
    read_graph_work,
)
from u2forge.measure.layer_times import LayerTable
from u2forge.measure.roofline import Roofline

PEAKS = Roofline({"float32": 100.0, "bfloat16": 200.0, "int8": 400.0}, 20.0)
WORK = GraphWork(
    macs={"stage1.conv": 6_000_000, "stage1d.conv": 2_000_000, "outconv": 1_000_000},
    convolutions={
        "stage1.conv": "stage1.conv",
        "stage1.relu": "stage1.conv",
        "stage1d.conv": "stage1d.conv",
        "d0": "outconv",
    },
    stages=("stage1", "stage1d", "outconv"),
)


@pytest.fixture(autouse=True)
def known_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about what this machine can do."""
    monkeypatch.setattr(layer_profile, "roofline_of_this_machine", lambda precisions, threads: PEAKS)


def ran(name: str, operator: str = "Convolution", ms: float = 1.0, precision: str = "float32") -> LayerTime:
    return LayerTime(name, operator, "kernel", precision, ms, ms)


def table_of(*layers: LayerTime, batch_size: int = 1, roofline: Roofline = PEAKS) -> LayerTable:
    return layer_table(
        layers, WORK, batch_size=batch_size, roofline=roofline, profiler="openvino", inferences=3
    )


def test_work_speed_and_share_of_the_peak() -> None:
    table = table_of(ran("stage1.relu", ms=0.1), ran("stage1.pool", "MaxPool", ms=0.3))
    first, second = table.layers
    assert (first.name, first.stage, first.macs) == ("stage1.conv", "stage1", 6_000_000)
    assert first.gmac_per_s == pytest.approx(60)
    assert first.peak_share == pytest.approx(0.6)
    assert (first.share, second.share) == (pytest.approx(0.25), pytest.approx(0.75))
    assert (first.cumulative_ms, second.cumulative_ms) == (pytest.approx(0.1), pytest.approx(0.4))
    assert (second.macs, second.gmac_per_s, second.peak_share) == (0, None, None)


def test_a_batch_multiplies_the_work() -> None:
    assert table_of(ran("stage1.conv"), batch_size=8).layers[0].macs == 48_000_000


def test_without_a_measured_peak_there_is_no_share() -> None:
    assert table_of(ran("stage1.conv", precision="float16")).layers[0].peak_share is None
    table = table_of(ran("stage1.conv"), roofline=Roofline({}, None))
    assert table.layers[0].peak_share is None
    assert table.bandwidth_gb_per_s is None


def test_why_a_peak_is_missing_is_kept() -> None:
    table = table_of(ran("stage1.conv"), roofline=Roofline({}, None, ("no peak in float32: …",)))
    assert table.notes == ("no peak in float32: …",)
    values = json.loads(json.dumps(table.as_dict()))
    assert layer_table_from(values) == table
    del values["notes"]  # as an older record
    assert layer_table_from(values).notes == ()


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("stage1.pool", "stage1"),
        ("stage1d.concat", "stage1d"),
        ("image_abcd_acdb_stage1d.conv", "stage1d"),
        ("outconv.concat", "outconv"),
        ("stage11.pool", "other"),
        ("backstage1.pool", "other"),
        ("Transpose", "other"),
    ],
)
def test_the_stage_is_what_the_name_tells(name: str, stage: str) -> None:
    assert table_of(ran(name, "Reorder")).layers[0].stage == stage


def test_work_is_counted_once_and_for_convolutions_only() -> None:
    layers = [ran("stage1.conv"), ran("stage1.conv"), ran("d0", "Sigmoid"), ran("d0", "Convert")]
    assert [row.macs for row in table_of(*layers).layers] == [6_000_000, 0, 0, 0]


def test_groups_add_up() -> None:
    table = table_of(
        ran("stage1.conv", ms=2),
        ran("Reorder", "Reorder", ms=1),
        ran("stage1.pool", "MaxPool", ms=3),
        ran("stage1d.conv", ms=4),
    )
    assert [(row.group, row.layers, row.ms) for row in table.stages] == [
        ("stage1", 2, 5),
        ("other", 1, 1),
        ("stage1d", 1, 4),
    ]
    assert [(row.group, row.layers, row.macs) for row in table.operators] == [
        ("Convolution", 2, 8_000_000),
        ("Reorder", 1, 0),
        ("MaxPool", 1, 0),
    ]
    assert table.operators[0].gmac_per_s == pytest.approx(8 / 6)
    for groups in (table.stages, table.operators):
        assert sum(row.ms for row in groups) == pytest.approx(table.total_ms)
        assert sum(row.share for row in groups) == pytest.approx(1)


def test_nothing_ran() -> None:
    assert table_of().layers == ()


def test_json_gives_the_same_table_back() -> None:
    table = table_of(ran("stage1.conv"), ran("Reorder", "Reorder"))
    assert layer_table_from(json.loads(json.dumps(table.as_dict()))) == table


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_all_work_of_the_tiny_network_is_accounted_for(
    tiny_checkpoint: Path, tmp_path: Path, engine: str, batch_size: int
) -> None:
    import u2forge

    path = tmp_path / "tiny.onnx"
    u2forge.build(tiny_checkpoint, out=path, input_height=64, input_width=96, batch_size=batch_size)
    candidate = candidate_of(path, engine, batch_size=batch_size)
    table = profile_candidate(candidate, inferences=2)
    check_whole(table, path, batch_size=batch_size)
    assert (table.profiler, table.inferences) == (engine, 2)
    if engine == "cuda":
        # On the processor it runs the GPU's reference, whose speed has no peak to be compared with.
        assert table.peaks_gmac_per_s == {}
        return
    assert table.peaks_gmac_per_s == PEAKS.peaks_gmac_per_s
    working = [row for row in table.layers if row.macs]
    assert all(row.peak_share for row in working if row.ms)


@pytest.mark.parametrize("engine", INSTALLED)
def test_an_open_batch_and_embedded_preprocessing(tiny_checkpoint: Path, tmp_path: Path, engine: str) -> None:
    import u2forge

    path = tmp_path / "open.onnx"
    u2forge.build(
        tiny_checkpoint,
        out=path,
        input_height=64,
        input_width=96,
        batch_size="dynamic",
        embed_preprocessing=True,
    )
    candidate = candidate_of(path, engine, batch_size=2)
    check_whole(profile_candidate(candidate, inferences=1), path, batch_size=2)


def test_another_device_has_no_roofline_of_the_processor(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_profile, "profile_layers", lambda path, **options: [ran("stage1.conv")])
    table = profile_candidate(
        Candidate(model="tiny", path=str(tiny_model), engine="openvino", device="gpu"), inferences=1
    )
    assert (table.peaks_gmac_per_s, table.bandwidth_gb_per_s) == ({}, None)
    assert table.notes == ("peaks and bandwidth are measured of processors and NVIDIA GPUs only",)


@pytest.fixture(scope="module", params=["force_float32", "force_float16"])
def full_model(
    request: pytest.FixtureRequest, u2net_onnx: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The full network's offline model, of either precision."""
    import u2forge

    path = tmp_path_factory.mktemp("full") / "u2net.onnx"
    u2forge.build(u2net_onnx, out=path, precision=request.param)
    return path


@pytest.mark.weights
@pytest.mark.parametrize("engine", INSTALLED)
def test_all_work_of_the_full_network_is_accounted_for(full_model: Path, engine: str) -> None:
    table = profile_candidate(candidate_of(full_model, engine, batch_size=1), inferences=1)
    check_whole(table, full_model, batch_size=1)
    stages = {row.group for row in table.stages}
    assert {f"stage{number}" for number in range(1, 7)} <= stages
    assert {f"stage{number}d" for number in range(1, 6)} <= stages
    assert {f"side{number}" for number in range(1, 7)} | {"outconv"} <= stages
    assert stages - {"other"} == stages_of(full_model)


def candidate_of(path: Path, engine: str, *, batch_size: int) -> Candidate:
    device = options_for(engine).device
    return Candidate(model=path.stem, path=str(path), engine=engine, device=device, batch_size=batch_size)


# Each file is read once, however many engines run it: the full network takes seconds.
@cache
def macs_of(path: Path) -> int:
    return summarize(read_onnx(path)).macs


@cache
def stages_of(path: Path) -> set[str]:
    return set(read_graph_work(path).stages)


def check_whole(table: LayerTable, path: Path, *, batch_size: int) -> None:
    expected = macs_of(path) * batch_size
    assert sum(row.macs for row in table.layers) == expected
    assert sum(row.macs for row in table.stages) == expected
    assert sum(row.macs for row in table.operators) == expected
