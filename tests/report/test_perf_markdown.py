"""The Markdown table for documents."""

from __future__ import annotations

from dataclasses import replace

from perf_rows import HOSTILE, failed_row, perf_row, steady

from u2forge.report.perf_markdown import perf_markdown

HALF = perf_row(precision="force_float16", executed="bfloat16", throughput=21.3, latency=steady(46.9))
BATCH = perf_row(batch_size=8, throughput=12.0, latency=steady(666.7), iterations=20)


def test_speed_is_against_float32_of_batch_1() -> None:
    assert perf_markdown([HALF, BATCH, perf_row()]).splitlines() == [
        "| precision | ran in | batch | pictures/s | median ms | p95 ms | p99 ms | speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| force_float16 | bfloat16 | 1 | 21.3 | 46.9 | 51.1 | 51.5 | 2.13× |",
        "| force_float32 | float32 | 8 | 12.0 | 666.7 | 726.7 | 732.0 | 1.20× |",
        "| force_float32 | float32 | 1 | 10.0 | 100.0 | 109.0 | 109.8 | 1.00× |",
    ]


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
