"""The page of perf: self-contained, escaped, complete."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

from perf_rows import HOSTILE, failed_row, layer_table, perf_result, perf_row, steady

from u2forge.measure.perf_row import PerfRow
from u2forge.report.perf_page import perf_page

VOID = {"meta", "rect", "path", "circle", "br", "img"}


def page_of(*rows: PerfRow, **changes: object) -> str:
    return perf_page(perf_result(rows, **changes))


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def assert_well_formed(page: str) -> None:
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page)


def test_each_row_has_a_section_and_the_chart_a_bar() -> None:
    page = page_of(perf_row(), perf_row(batch_size=4, throughput=15.0))
    assert headings(page) == [
        "Machine",
        "u2net force_float32 on openvino, batch 1",
        "u2net force_float32 on openvino, batch 4",
    ]
    assert "<title>u2net force_float32 on openvino, batch 4: 15.0</title>" in page
    assert "<td>1.50</td>" in page
    assert_well_formed(page)


def test_everything_of_the_text_report_is_there() -> None:
    page = page_of(perf_row(warnings=("drift",)), warnings=("hot",))
    for words in (
        '<p class="failed">Warning: hot</p>',
        '<p class="failed">Warning: drift</p>',
        '<td class="word">first inference</td><td class="word">130.000 ms</td>',
        '<td class="word">compute time</td><td class="word">1.960 s</td>',
        '<td class="word">Host to device</td><td>not available</td>',
        '<td class="word">GPU power (W)</td><td>not available</td>',
        '<td class="word">1×3×320×320</td><td>1228800</td>',
        '<td class="word">processor features</td><td class="word">avx2, avx512f</td>',
        "Averages of every 100 inferences (1)",
        "p99 ms",
    ):
        assert words in page


def test_nothing_is_loaded_or_run() -> None:
    page = page_of(perf_row(layers=layer_table()))
    assert set(re.findall(r"https?://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in page
    assert not re.search(r"\b(src|href|on\w+)=", page)


def test_failed_and_partial_rows_are_marked() -> None:
    page = page_of(perf_row(status="partial"), failed_row(reason="no <device>"))
    assert "u2net force_float32 on openvino, batch 1: partial: interrupted</p>" in page
    assert "u2net on onnxruntime, batch 1: failed: no &lt;device&gt;</p>" in page
    assert '<h2 class="failed">u2net on onnxruntime, batch 1</h2>' in page
    assert "<title>u2net on onnxruntime, batch 1: failed</title>" in page
    assert_well_formed(page)


def test_the_course_of_the_latency_is_that_of_the_turns() -> None:
    page = page_of(perf_row())
    assert "Latency while measuring" in page
    assert "median of a turn" in page
    assert "Latency while measuring" not in page_of(perf_row(turn_medians=(100.0, 101.0)))


def test_of_many_inferences_it_is_that_of_the_hundreds() -> None:
    means = [{"latency": 100.0}] * 8
    page = page_of(perf_row(iterations=720, per_hundred=means))
    assert "mean of 100 inferences" in page
    assert page.count("<circle") == 7


def test_many_averages_are_cut_off() -> None:
    page = page_of(perf_row(iterations=12000, per_hundred=[{"latency": 1.0}] * 120))
    assert "Averages of every 100 inferences (the first 100 of 120, all are in the JSON)" in page
    assert "9901 to 10000" in page
    assert "10001 to" not in page


def test_whiskers_are_of_the_turns_and_not_for_pipelines() -> None:
    assert page_of(perf_row()).count('stroke-width="1.5" fill="none"') == 1
    assert "Whiskers: the throughput" in page_of(perf_row())
    pipeline = page_of(perf_row(scenario="pipeline", phases={}))
    assert 'stroke-width="1.5" fill="none"' not in pipeline
    assert "Whiskers" not in pipeline


def test_the_work_on_a_picture_is_not_called_a_latency() -> None:
    means = [{"latency": 100.0, "decode": 5.0}] * 8
    pipeline = perf_row(
        scenario="pipeline", phases={"decode": steady(5.0)}, iterations=800, per_hundred=means
    )
    page = page_of(pipeline)
    assert "atency" not in page
    for words in (
        "Work per picture while measuring",
        '<td class="word">Work per picture</td>',
        "work median ms",
        "<p>Work per picture: its stages added up",
    ):
        assert words in page
    assert "Work per picture" not in page_of(perf_row())


def test_why_rows_are_not_complete_and_not_profiled_is_said() -> None:
    died = perf_row(status="partial", reason="the worker died", warnings=("not profiled: interrupted",))
    for page in (page_of(died), page_of(died, perf_row(batch_size=4))):
        assert "batch 1: partial: the worker died</p>" in page
        assert '<p class="failed">Warning: not profiled: interrupted</p>' in page


def test_layers_are_there_when_profiled() -> None:
    page = page_of(perf_row(layers=layer_table()))
    assert "Time by stage of the network" in page
    assert "<title>stage1: 70.0 · 77.8 %</title>" in page
    assert "All 3 layers" in page
    assert "brgconv_avx512" in page
    assert_well_formed(page)


def test_what_a_search_found() -> None:
    tried = [{"options": "--streams 2", "throughput": 11.3}]
    page = page_of(perf_row(scenario="throughput", options="--streams 2", searched=tried))
    assert "<p>use: --streams 2</p>" in page
    assert "What the search tried" in page


def test_hostile_names_are_text() -> None:
    row = perf_row(
        model=HOSTILE,
        name=HOSTILE,
        path=HOSTILE,
        engine=HOSTILE,
        executed=HOSTILE,
        status="partial",
        reason=HOSTILE,
        warnings=(HOSTILE,),
        layers=layer_table(profiler=HOSTILE),
    )
    page = page_of(
        row, perf_row(), warnings=(HOSTILE,), machine={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    assert "<script" not in page
    assert page.encode()
    assert all(line.isprintable() for line in page.split("\n"))
    assert_well_formed(page)


def test_numbers_that_are_none_leave_no_trace() -> None:
    nothing = replace(steady(1.0), mean=math.nan, median=math.nan, variation=math.nan)
    page = page_of(
        perf_row(throughput=math.nan, latency=nothing, turn_medians=(math.nan,) * 4, iterations=3),
        perf_row(throughput=0.0, wall_s=math.inf),
    )
    assert not re.search(r"\b(nan|inf)\b", page)


def test_no_rows_at_all() -> None:
    assert headings(page_of()) == ["Machine"]
