"""What `u2forge perf` prints: a full report of one row, a table of several."""

from __future__ import annotations

import math
from dataclasses import replace

from perf_rows import HOSTILE, failed_row, layer_table, perf_result, perf_row, steady

from u2forge.measure.perf_row import PerfRow
from u2forge.report.perf_text import perf_text

REPORT = """\
u2forge perf: u2net force_float32 on openvino, batch 1

Parameters
  scenario     latency: the network, one inference after the other in each stream
  file         /models/u2net.onnx
  options      --engine openvino --streams 1 --batch-size 1
  batch size   1
  iterations   at least 10
  duration     at least 3 s
  warm-up      at least 200 ms
  percentiles  50, 90, 95, 99

Opening
  import the package  431.250 ms
  read the model      80.500 ms
  create the engine   1200.000 ms
  create contexts     5.250 ms
  first inference     130.000 ms
  warm-up             210.000 ms

Device
  engine              openvino 2026.1.0
  device              CPU
  device name         A Processor
  threads             2
  streams             1
  date                2026-11-25T09:00:00+00:00
  processor           A Processor
  processors usable   2
  processor features  avx2, avx512f
  governor            not available
  versions            u2forge 0.1.0, openvino 2026.1.0

Model
  name             u2net
  precision asked  force_float32
  ran in           float32
  size             176000000 bytes (176.0 MB)
  sha256           abababababababababababababababababababababababababababababababab

          name   type     layout  dims           bytes
  ------  -----  -------  ------  -----------  -------
  input   image  float32  NCHW    1×3×320×320  1228800
  output  d0     float32  NCHW    1×1×320×320   409600

Utilization while measuring
                               min    max   mean  median
  -------------------------  -----  -----  -----  ------
  CPU, of one processor (%)  180.0  200.0  190.0   190.0
  memory (MB)                500.0  520.0  510.0   510.0
  GPU (%)                    not available
  GPU memory (MB)            not available
  GPU power (W)              not available
  GPU temperature (°C)       not available

Performance
  status        complete
  inferences    20
  wall time     2.000 s
  compute time  1.960 s
  throughput    10.00 pictures/s

  ms                 min      max     mean   median      p50      p90      p95      p99  variation %
  --------------  ------  -------  -------  -------  -------  -------  -------  -------  -----------
  Latency         90.000  110.000  100.000  100.000  100.000  108.000  109.000  109.800          6.1
  Enqueue          0.045    0.055    0.050    0.050    0.050    0.054    0.055    0.055          6.1
  Host to device  not available
  Compute         88.200  107.800   98.000   98.000   98.000  105.840  106.820  107.604          6.1
  Device to host   0.450    0.550    0.500    0.500    0.500    0.540    0.545    0.549          6.1

Averages of every 100 inferences
  mean ms of  Latency  Enqueue  Compute  Device to host
  ----------  -------  -------  -------  --------------
  1 to 20     100.000    0.050   98.000           0.500"""


def text_of(*rows: PerfRow, **changes: object) -> str:
    return perf_text(perf_result(rows, **changes))


def section(text: str, heading: str) -> list[str]:
    """The lines below the heading, up to the next one at the margin."""
    lines = text.splitlines()
    below = lines[lines.index(heading) + 1 :]
    end = next((index for index, line in enumerate(below) if line and not line.startswith(" ")), len(below))
    return [line.removeprefix("  ") for line in below[:end] if line]


def test_the_report_of_one_row_in_the_order_of_mm_run() -> None:
    assert text_of(perf_row()) == REPORT


def test_warnings_of_the_machine_and_of_the_row_come_last() -> None:
    text = text_of(perf_row(warnings=("unstable: …",)), warnings=("the processor was throttled",))
    assert text.endswith("\n\nWarnings\n  the processor was throttled\n  unstable: …")


def test_many_averages_are_cut_off() -> None:
    means = [{"latency": float(index)} for index in range(23)]
    lines = section(text_of(perf_row(iterations=2250, per_hundred=means)), "Averages of every 100 inferences")
    assert lines[2].split() == ["1", "to", "100", "0.000"]
    assert lines[-2].split() == ["1901", "to", "2000", "19.000"]
    assert lines[-1] == "3 more in the JSON"


def test_the_last_average_may_be_of_fewer() -> None:
    means = [{"latency": 1.0}, {"latency": 2.0}]
    lines = section(text_of(perf_row(iterations=130, per_hundred=means)), "Averages of every 100 inferences")
    assert [line.split()[:3] for line in lines[2:]] == [["1", "to", "100"], ["101", "to", "130"]]


def test_what_is_not_known_says_so() -> None:
    text = text_of(perf_row(opening_ms={}, compute_s=None, device_name="", model_sha256="", threads=0))
    for line in ("import the package  not available", "warm-up             not available"):
        assert line in section(text, "Opening")
    assert "compute time  not available" in section(text, "Performance")
    assert "device name         not available" in section(text, "Device")
    assert "threads             not available" in section(text, "Device")
    assert "sha256           not available" in section(text, "Model")


def test_numbers_that_are_none_are_not_available() -> None:
    nothing = replace(steady(1.0), mean=math.nan)
    text = text_of(perf_row(latency=nothing, throughput=math.nan, wall_s=math.inf))
    assert "nan" not in text
    assert "inf " not in text
    assert "Latency         not available" in section(text, "Performance")


def test_a_single_row_that_failed() -> None:
    lines = section(text_of(failed_row()), "Performance")
    assert lines[0] == "status        failed"
    assert lines[4] == "throughput    not available"
    assert lines[5].startswith("reason        engine 'onnxruntime': expected a device")
    assert "Latency         not available" in lines


def test_a_single_row_that_was_interrupted() -> None:
    lines = section(text_of(perf_row(status="partial")), "Performance")
    assert "status        partial" in lines
    assert "reason        interrupted" in lines


def test_the_options_to_use_after_a_search() -> None:
    tried = [
        {"options": "--streams 1 --batch-size 1", "throughput": 9.0},
        {"options": "--streams 2 --batch-size 1", "throughput": 11.3},
    ]
    text = text_of(perf_row(scenario="throughput", options="--streams 2 --batch-size 1", searched=tried))
    assert "use: --streams 2 --batch-size 1" in section(text, "Performance")
    assert section(text, "Search") == [
        "tried                       pictures/s",
        "--------------------------  ----------",
        "--streams 1 --batch-size 1        9.00",
        "--streams 2 --batch-size 1       11.30",
    ]


def test_a_pipeline_has_its_stages() -> None:
    row = perf_row(scenario="pipeline", compute_s=None, phases={"decode": steady(5.0), "compose": None})
    lines = section(text_of(row), "Performance")
    assert "pictures      20" in lines
    assert [line.split("  ")[0] for line in lines[7:10]] == ["Work per picture", "decode", "compose"]


def test_the_work_on_a_picture_is_not_called_a_latency() -> None:
    row = perf_row(
        scenario="pipeline", phases={"decode": steady(5.0)}, per_hundred=({"latency": 100.0, "decode": 5.0},)
    )
    text = text_of(row)
    assert "atency" not in text
    assert section(text, "Performance")[-1].startswith("Work per picture: its stages added up")
    averages = section(text, "Averages of every 100 pictures")
    assert averages[0].split("  ")[1:] == ["Work per picture", "decode"]
    table = text_of(row, perf_row(scenario="pipeline", batch_size=4)).splitlines()
    assert "work median ms  work p99 ms" in table[3]
    assert "  median ms" not in table[3]
    assert table[8].startswith("Work per picture: its stages added up")


def test_latencies_and_the_work_per_picture_stand_in_columns_of_their_own() -> None:
    rows = [perf_row(), perf_row(scenario="pipeline", latency=steady(300.0))]
    lines = text_of(*rows).splitlines()
    heading = lines[3]
    assert "  median ms  p99 ms  work median ms  work p99 ms" in heading
    latency_ends, work_ends = heading.index("p99 ms") + 6, heading.index("work p99 ms") + 11
    assert lines[5][:work_ends].split()[-2:] == ["100", "110"]
    assert len(lines[5][:work_ends].rstrip()) == latency_ends
    assert lines[6][:work_ends].split()[-2:] == ["300", "329"]


def test_why_rows_are_not_complete_and_not_profiled_is_said() -> None:
    died = perf_row(
        status="partial", reason="the worker died", warnings=("not profiled: interrupted",), batch_size=4
    )
    alone = text_of(died)
    assert "reason        the worker died" in section(alone, "Performance")
    assert section(alone, "Warnings") == ["not profiled: interrupted"]
    beside = text_of(perf_row(), died)
    label = "u2net force_float32 on openvino, batch 4"
    assert section(beside, "Not complete") == [f"{label}: partial: the worker died"]
    assert section(beside, "Warnings") == [f"{label}: not profiled: interrupted"]


def test_what_a_search_tried_in_vain_says_why() -> None:
    tried = [
        {"options": "--streams 1", "throughput": 9.0, "reason": ""},
        {"options": "--streams 2", "throughput": None, "reason": "out of memory"},
    ]
    lines = section(text_of(perf_row(scenario="throughput", searched=tried)), "Search")
    assert [line.rstrip() for line in lines[2:]] == [
        "--streams 1                       9.00",
        "--streams 2: out of memory",
    ]


COMPARISON = """\
u2forge perf: 3 candidates in turn, latency (the network, one inference after the other in each stream)
iterations at least 10, duration at least 3 s, warm-up at least 200 ms, percentiles 50, 90, 95, 99

model  precision      ran in    engine       status    batch  threads  streams  inferences  pictures/s  × first  \
median ms  p99 ms  variation %  memory MB
-----  -------------  --------  -----------  --------  -----  -------  -------  ----------  ----------  -------  \
---------  ------  -----------  ---------
u2net  force_float32  float32   openvino     complete      1        2        1          20        10.0     1.00  \
    100.0   109.8          6.1        510
u2net  force_float16  bfloat16  openvino     partial       1        2        1          20        21.3     2.13  \
     46.9    51.5          6.1        510
u2net                           onnxruntime  failed        1                 1           0

Not complete
  u2net force_float16 on openvino, batch 1: partial: interrupted
  u2net on onnxruntime, batch 1: failed: no such device

Warnings
  the processor was throttled
  u2net force_float16 on openvino, batch 1: drift

Machine
  date                2026-11-25T09:00:00+00:00
  processor           A Processor
  processors usable   2
  processor features  avx2, avx512f
  governor            not available
  versions            u2forge 0.1.0, openvino 2026.1.0

Every row's full report: --json FILE or --html FILE."""


def test_several_rows_are_a_table() -> None:
    half = perf_row(
        precision="force_float16",
        executed="bfloat16",
        throughput=21.3,
        latency=steady(46.9),
        status="partial",
        warnings=("drift",),
    )
    rows = (perf_row(), half, failed_row(reason="no such device"))
    assert text_of(*rows, warnings=("the processor was throttled",)) == COMPARISON


def test_where_all_is_complete_there_is_no_status() -> None:
    text = text_of(perf_row(), perf_row(batch_size=4))
    assert "status" not in text
    assert "Not complete" not in text
    assert "Warnings" not in text


def test_the_first_row_with_figures_is_what_others_compare_with() -> None:
    lines = text_of(failed_row(), perf_row(), perf_row(batch_size=4, throughput=15.0)).splitlines()
    assert [line.split()[10] for line in lines[6:8]] == ["1.00", "1.50"]


def test_without_percentiles_there_is_no_such_column() -> None:
    rows = [perf_row(latency=replace(steady(100.0), percentiles={}), batch_size=size) for size in (1, 4)]
    assert "p99" not in text_of(*rows).splitlines()[3]


def test_options_of_every_row_after_a_search() -> None:
    rows = [
        perf_row(scenario="throughput", batch_size=size, options=f"--batch-size {size}") for size in (1, 4)
    ]
    assert section(text_of(*rows), "Settings") == [
        "u2net force_float32 on openvino, batch 1: use: --batch-size 1",
        "u2net force_float32 on openvino, batch 4: use: --batch-size 4",
    ]


def test_rows_that_look_alike_are_told_apart() -> None:
    rows = [
        perf_row(warnings=("x",)),
        perf_row(threads=1, warnings=("x",)),
        perf_row(threads=1, warnings=("x",)),
    ]
    assert section(text_of(*rows), "Warnings") == [
        "u2net force_float32 on openvino, batch 1, 2 threads: x",
        "u2net force_float32 on openvino, batch 1, 1 threads (2): x",
        "u2net force_float32 on openvino, batch 1, 1 threads (3): x",
    ]


def test_models_that_only_their_files_tell_apart_are_shown_as_they_were_called() -> None:
    rows = [perf_row(model="old/net.onnx"), perf_row(model="new/net.onnx"), perf_row(name="other")]
    lines = text_of(*rows).splitlines()
    assert [line.split()[0] for line in lines[5:8]] == ["old/net.onnx", "new/net.onnx", "other"]


def test_models_of_one_name_keep_it_where_their_precision_or_batch_differs() -> None:
    rows = [
        perf_row(model="a.onnx"),
        perf_row(model="b.onnx", precision="force_float16"),
        perf_row(model="c.onnx", batch_size=4),
    ]
    assert [line.split()[0] for line in text_of(*rows).splitlines()[5:8]] == ["u2net"] * 3


def test_layers_of_each_row_that_was_profiled() -> None:
    text = text_of(perf_row(layers=layer_table()), perf_row(batch_size=4))
    lines = section(text, "Layers of u2net force_float32 on openvino, batch 1")
    assert lines[1].startswith("All layers: 90.000 ms, 90 % of the median latency of 100.000 ms")
    assert "Layers of u2net force_float32 on openvino, batch 4" not in text
    assert "\nLayers\n  Times of the" in text_of(perf_row(layers=layer_table()))


def test_no_rows_at_all() -> None:
    assert text_of().startswith("u2forge perf: 0 candidates in turn")


def test_hostile_names_stay_on_their_line() -> None:
    row = perf_row(
        model=HOSTILE,
        name=HOSTILE,
        path=HOSTILE,
        engine=HOSTILE,
        warnings=(HOSTILE,),
        status="partial",
        reason=HOSTILE,
    )
    for text in (text_of(row), text_of(row, perf_row())):
        assert text.encode()
        assert all(line.isprintable() for line in text.split("\n"))
    table = text_of(row, perf_row()).splitlines()[3:7]
    assert max(map(len, table)) < 220
