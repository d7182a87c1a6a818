"""The public surface: a snapshot, so that it changes on purpose only."""

from __future__ import annotations

import u2forge

PUBLIC = {
    "Engine",
    "EngineInfo",
    "EngineOptions",
    "Manifest",
    "Picture",
    "Segmentation",
    "Segmenter",
    "U2ForgeError",
    "__version__",
    "build",
    "composite",
    "cutout",
    "encode_picture",
    "engines",
    "eval",
    "export",
    "fetch",
    "infer",
    "inspect",
    "open_segmenter",
    "perf",
    "perf_compare",
    "read_picture",
    "run",
}


def test_the_public_names() -> None:
    assert set(u2forge.__all__) == PUBLIC
    assert set(dir(u2forge)) == PUBLIC


def test_every_name_resolves() -> None:
    assert all(getattr(u2forge, name) is not None for name in PUBLIC)


def test_every_name_has_a_docstring() -> None:
    assert [name for name in PUBLIC - {"__version__"} if not getattr(u2forge, name).__doc__] == []
