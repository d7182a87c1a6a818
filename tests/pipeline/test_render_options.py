"""Which results go with which formats."""

from __future__ import annotations

import pytest

from u2forge.errors import InputError
from u2forge.pipeline.background import Background
from u2forge.pipeline.render_options import RenderOptions

WHITE = Background(colour=(255, 255, 255))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "alpha"}, r"'output'.*mask, cutout, probability, composite; found 'alpha'"),
        ({"output": "cutout", "format": "jpeg"}, r"hold a cutout: png, webp, avif, tiff.*or a composite"),
        ({"output": "probability", "format": "webp"}, r"hold a probability: png, tiff"),
        ({"format": "gif"}, "'format'"),
        ({"format": "jpeg", "quality": 101}, "1 to 100; found 101"),
        ({"format": "jpeg", "quality": 0}, "1 to 100; found 0"),
        ({"format": "png", "quality": 90}, "png loses nothing"),
        ({"output": "composite"}, "'background'.*found none"),
        ({"output": "cutout", "background": WHITE}, "'background'.*for the output 'cutout'"),
    ],
)
def test_choices_that_do_not_go_together(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RenderOptions(**options)  # type: ignore[arg-type]


def test_only_results_with_colours_need_the_picture() -> None:
    assert RenderOptions("cutout").needs_picture
    assert RenderOptions("composite", background=WHITE).needs_picture
    assert not RenderOptions("mask").needs_picture
    assert not RenderOptions("probability", "tiff").needs_picture
