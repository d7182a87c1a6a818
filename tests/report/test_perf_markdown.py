"""The Markdown table for documents."""

from __future__ import annotations

from dataclasses import replace

from perf_rows import HOSTILE, failed_row, perf_row, steady

from u2forge.measure.perf_row import PerfRow
from u2forge.measure.spread import spread_of
from u2forge.report.perf_markdown import perf_markdown

HALF = perf_row(precision="force_float16", executed="bfloat16", throughput=21.3, latency=steady(46.9))
BATCH = perf_row(batch_size=8, throughput=12.0, latency=steady(666.7), iterations=20)


def test_speed_is_against_float32_of_batch_1() -> None:
    assert perf_markdown([HALF, BATCH, perf_row()]).splitlines() == [
        "| precision | ran in | batch | pictures/s | median ms | p95 ms | variation % | speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| force_float16 | bfloat16 | 1 | 21.3 | 46.9 | 51.1 | 6.1 | 2.13× |",
        "| force_float32 | float32 | 8 | 12.0 | 666.7 | 726.7 | 6.1 | 1.20× |",
        "| force_float32 | float32 | 1 | 10.0 | 100.0 | 109.0 | 6.1 | 1.00× |",
    ]


def column(table: str, name: str) -> list[str]:
    lines = [line.strip("|").split("|") for line in table.splitlines()]
    index = [cell.strip() for cell in lines[0]].index(name)
    return [line[index].strip() for line in lines[2:]]


def test_percentiles_of_too_few_samples_are_left_out() -> None:
    few = perf_row(batch_size=8, latency=steady(100.0, count=19))
    many = perf_row(latency=steady(100.0, count=100))
    table = perf_markdown([few, perf_row(), many, failed_row()])
    assert column(table, "p95 ms") == ["", "109", "109", ""]
    assert column(table, "p99 ms") == ["", "", "110", ""]
    assert "p9" not in perf_markdown([few])


def spanned(middle: float, *, count: int = 10) -> PerfRow:
    samples = [middle * (0.95 + 0.1 * index / (count - 1)) for index in range(count)]
    return perf_row(latency=spread_of(samples, (10.0, 50.0, 90.0)))


def test_the_span_stands_for_the_variation_where_all_rows_tell_it() -> None:
    table = perf_markdown([spanned(100.0), failed_row(), spanned(1.0)])
    assert column(table, "10–90 % ms") == ["96.000–104.000", "", "0.960–1.040"]
    assert "variation" not in table
    for untold in (perf_row(), spanned(100.0, count=9)):
        assert "10–90" not in perf_markdown([spanned(100.0), untold])
        assert column(perf_markdown([spanned(100.0), untold]), "variation %")[0] == "3.2"


def speeds(table: str) -> list[str]:
    return [line.split(" | ")[-1].removesuffix(" |") for line in table.splitlines()[2:]]


def test_without_such_a_row_the_first_that_ran_is_the_measure() -> None:
    assert speeds(perf_markdown([failed_row(), HALF, BATCH])) == ["failed", "1.00×", "0.56×"]


def test_any_row_can_be_the_measure() -> None:
    assert speeds(perf_markdown([perf_row(), HALF], first=HALF.label)) == ["0.47×", "1.00×"]
    assert speeds(perf_markdown([perf_row(), HALF], first="no such row")) == ["", ""]


def test_rows_that_did_not_end_say_so() -> None:
    table = perf_markdown([perf_row(), replace(HALF, status="partial"), failed_row(engine="openvino")])
    assert speeds(table) == ["1.00×", "2.13× (partial)", "failed"]


def test_what_differs_has_a_column() -> None:
    peer = perf_row(model="peer", name="peer", engine="onnxruntime", threads=1, streams=2)
    assert perf_markdown([perf_row(), peer]).startswith(
        "| model | engine | threads | streams | precision | ran in |"
    )


def test_hostile_names_are_text() -> None:
    table = perf_markdown([perf_row(name="_a_b_|`<b>[x](y)*"), perf_row(name=HOSTILE)])
    cell = "&#95;a_b&#95;&#124;&#96;&#60;b&#62;&#91;x&#93;(y)&#42;"
    assert table.splitlines()[2].startswith(f"| {cell} | force_float32 |")
    assert len(table.splitlines()) == 4
    assert "<script" not in table


def test_no_rows_at_all() -> None:
    assert len(perf_markdown([]).splitlines()) == 2
