"""The text table: aligned columns, the row's own words."""

from u2forge.report.run_table import HEADINGS, RunRow, text_table

ROW = RunRow(
    model="u2net",
    precision_asked="force_float16",
    precision_executed="bfloat16",
    engine="openvino",
    device="CPU",
    size_bytes=88_000_000,
    pictures=4,
    stage_ms={"decode": 1.0, "inference": 70.25},
    mean_difference=0.0017,
    worst_difference=0.0035,
    worst_iou=0.96,
)


def test_cells_follow_the_headings() -> None:
    cells = dict(zip(HEADINGS, ROW.cells(), strict=True))
    assert cells["executed"] == "bfloat16"
    assert cells["MB"] == "88.0"
    assert cells["inference"] == "70.2"
    assert cells["encode"] == "0.0"
    assert cells["sum ms"] == "71.2"
    assert cells["mean diff"] == "0.00170"


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    lines = text_table(["name", "ms"], [["a", "1.0"], ["long", "10.0"]]).splitlines()
    assert lines == ["name    ms", "----  ----", "a      1.0", "long  10.0"]
