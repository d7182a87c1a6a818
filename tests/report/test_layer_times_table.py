"""Tables of what each layer takes."""

from __future__ import annotations

from dataclasses import replace

from perf_rows import HOSTILE, layer_table

from u2forge.report.layer_times_table import layer_times_text

TEXT = """\
Times of the profiler of openvino, means of 10 inferences; \
GMAC/s: thousand millions of multiply-accumulates a second.
All layers: 90.000 ms, 90 % of the median latency of 100.000 ms, which was measured without the profiler.
Measured peaks: float32 100.0, bfloat16 210.0 GMAC/s; memory bandwidth: 23.40 GB/s.

layer         operator     kernel          precision      ms  cumulative ms  share %  GMAC/s  % of peak
------------  -----------  --------------  ---------  ------  -------------  -------  ------  ---------
stage1.conv   Convolution  brgconv_avx512  float32    60.000         60.000     66.7    50.0       50.0
stage1.pool   MaxPool      jit             float32    10.000         70.000     11.1
stage1d.conv  Convolution  brgconv_avx512  float32    20.000         90.000     22.2    50.0       50.0

stage    layers      ms  share %  GMAC/s
-------  ------  ------  -------  ------
stage1        2  70.000     77.8    42.9
stage1d       1  20.000     22.2    50.0

operator     layers      ms  share %  GMAC/s
-----------  ------  ------  -------  ------
Convolution       2  80.000     88.9    50.0
MaxPool           1  10.000     11.1"""


def test_layers_stages_and_operators() -> None:
    assert layer_times_text(layer_table(), latency_ms=100.0) == TEXT


def test_without_a_latency_peaks_or_bandwidth() -> None:
    table = layer_table(peaks_gmac_per_s={}, bandwidth_gb_per_s=None)
    lines = layer_times_text(table, latency_ms=None).splitlines()
    assert lines[1:3] == [
        "All layers: 90.000 ms.",
        "Measured peaks: not available; memory bandwidth: not available.",
    ]


def test_the_reasons_of_what_is_missing_follow() -> None:
    table = layer_table(peaks_gmac_per_s={}, notes=("no peak in int8: none computes in it", f"{HOSTILE}."))
    lines = layer_times_text(table, latency_ms=None).splitlines()
    assert lines[2].startswith("Measured peaks: not available; ")
    assert lines[3] == "Note: no peak in int8: none computes in it."
    assert lines[4].startswith("Note: ")
    assert not lines[4].endswith("..")
    assert lines[5] == ""


def test_without_layers() -> None:
    table = layer_table(layers=(), stages=(), operators=())
    assert "All layers: 0.000 ms, 0 %" in layer_times_text(table, latency_ms=100.0)


def test_hostile_names_stay_on_their_line() -> None:
    table = layer_table()
    bad = replace(table.layers[0], name=HOSTILE, operator=HOSTILE, kernel=HOSTILE, precision=HOSTILE)
    text = layer_times_text(
        layer_table(
            profiler=HOSTILE,
            layers=(bad, *table.layers[1:]),
            stages=(replace(table.stages[0], group=HOSTILE),),
            peaks_gmac_per_s={HOSTILE: 1.0},
        ),
        latency_ms=1.0,
    )
    assert all(line.isprintable() for line in text.split("\n"))
