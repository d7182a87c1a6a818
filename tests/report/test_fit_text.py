"""Names made fit to be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perf_rows import HOSTILE

from u2forge.report.fit_text import fitted, fitted_to_width, printable, text_width

any_text = st.text(st.characters(), max_size=80)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ü ×.onnx", "ü ×.onnx"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("", ""),
    ],
)
def test_what_would_be_obeyed_or_hidden_becomes_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_middle_is_left_out() -> None:
    assert fitted("abcdefghij", 10) == "abcdefghij"
    assert fitted("abcdefghijk", 10) == "abcde…hijk"
    assert fitted("abc", 1) == "…"


@given(any_text, st.integers(1, 60))
def test_any_text_fits_by_its_length(text: str, most: int) -> None:
    shown = fitted(text, most)
    assert len(shown) <= most
    assert shown.isprintable()


@given(any_text, st.integers(20, 400))
def test_any_text_fits_by_its_width(text: str, pixels: int) -> None:
    shown = fitted_to_width(text, pixels, size=12)
    assert shown == "…" or text_width(shown, size=12) <= pixels


def test_a_text_that_fits_stays() -> None:
    text = "u2net force_float32 on openvino, batch 1"
    assert fitted_to_width(text, text_width(text, size=12), size=12) == text
    assert fitted_to_width("iiii", text_width("iiii", size=12), size=12) == "iiii"


def test_hostile_names_can_be_written_as_utf8() -> None:
    assert printable(HOSTILE).encode().startswith(b"=<script>")
