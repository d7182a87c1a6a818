"""U²-Net from official checkpoint to masks and cut-outs. The verbs of the command line, as functions.

Names are resolved when first used: `import u2forge` imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from u2forge.engine.protocol import Engine, EngineInfo, EngineOptions
    from u2forge.errors import U2ForgeError
    from u2forge.model_file.manifest import Manifest
    from u2forge.pipeline.compose import composite, cutout
    from u2forge.pipeline.encode_picture import encode_picture
    from u2forge.pipeline.picture import Picture
    from u2forge.pipeline.read_picture import read_picture
    from u2forge.pipeline.segmenter import Segmentation, Segmenter
    from u2forge.verbs.build import build
    from u2forge.verbs.engines import engines
    from u2forge.verbs.eval import eval
    from u2forge.verbs.export import export
    from u2forge.verbs.fetch import fetch
    from u2forge.verbs.infer import infer
    from u2forge.verbs.inspect import inspect
    from u2forge.verbs.open_segmenter import open_segmenter
    from u2forge.verbs.perf import perf
    from u2forge.verbs.perf_compare import perf_compare
    from u2forge.verbs.run import run

_HOME = {
    "Engine": "u2forge.engine.protocol",
    "EngineInfo": "u2forge.engine.protocol",
    "EngineOptions": "u2forge.engine.protocol",
    "Manifest": "u2forge.model_file.manifest",
    "Picture": "u2forge.pipeline.picture",
    "Segmentation": "u2forge.pipeline.segmenter",
    "Segmenter": "u2forge.pipeline.segmenter",
    "U2ForgeError": "u2forge.errors",
    "build": "u2forge.verbs.build",
    "composite": "u2forge.pipeline.compose",
    "cutout": "u2forge.pipeline.compose",
    "encode_picture": "u2forge.pipeline.encode_picture",
    "engines": "u2forge.verbs.engines",
    "eval": "u2forge.verbs.eval",
    "export": "u2forge.verbs.export",
    "fetch": "u2forge.verbs.fetch",
    "infer": "u2forge.verbs.infer",
    "inspect": "u2forge.verbs.inspect",
    "open_segmenter": "u2forge.verbs.open_segmenter",
    "perf": "u2forge.verbs.perf",
    "perf_compare": "u2forge.verbs.perf_compare",
    "read_picture": "u2forge.pipeline.read_picture",
    "run": "u2forge.verbs.run",
}

__all__ = [
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
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'u2forge' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
