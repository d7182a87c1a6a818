"""Backgrounds: colours by every notation, pictures scaled to cover, all else refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_files import photo, saved
from PIL import Image

from u2forge.errors import ImageError, InputError
from u2forge.pipeline.background import Background, read_background


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#f0a", (255, 0, 170)),
        ("#102030", (16, 32, 48)),
        ("#102030ff", (16, 32, 48)),
        ("White", (255, 255, 255)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
    ],
)
def test_colours(text: str, colour: tuple[int, int, int]) -> None:
    pixels = read_background(text).pixels(height=3, width=5)
    assert pixels.shape == (3, 5, 3)
    assert (pixels == np.array(colour)).all()


def test_a_colour_that_lets_through_is_refused() -> None:
    with pytest.raises(InputError, match=r"partly transparent.*cut-outs instead"):
        read_background("#ff000080")


def test_what_is_neither_colour_nor_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'whit', which is neither.*'white'"):
        read_background("whit")
    with pytest.raises(InputError, match="neither"):
        read_background("")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError):
        read_background(str(tmp_path / "broken.png"))


@pytest.mark.parametrize("size", [(100, 30), (30, 100), (60, 60), (1, 300), (7, 1)])
def test_a_picture_covers_and_keeps_its_centre(tmp_path: Path, size: tuple[int, int]) -> None:
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, 40:] = 255
    (tmp_path / "b.png").write_bytes(saved(Image.fromarray(stripes), "PNG"))
    width, height = size
    pixels = read_background(str(tmp_path / "b.png")).pixels(height=height, width=width)
    assert pixels.shape == (height, width, 3)
    if width > 8:
        assert pixels[:, : width // 2 - 4].max() <= 40
        assert pixels[:, width // 2 + 4 :].min() >= 215


def test_a_transparent_picture_lies_on_white(tmp_path: Path) -> None:
    clear = Image.fromarray(np.dstack([photo(20, 20), np.zeros((20, 20), np.uint8)]))
    (tmp_path / "b.png").write_bytes(saved(clear, "PNG"))
    assert (read_background(str(tmp_path / "b.png")).pixels(height=9, width=9) == 255).all()


def test_white_is_the_default() -> None:
    assert Background().colour == (255, 255, 255)
