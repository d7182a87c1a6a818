"""open_segmenter: a model file or a card's name → a Segmenter, ready for one picture or a million."""

from __future__ import annotations

import logging
from pathlib import Path

from u2forge.cache_dir import cache_dir
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import check_engine, open_engine
from u2forge.errors import ModelError
from u2forge.model_file.read import read_manifest
from u2forge.pipeline.segmenter import Segmenter, profiles_of
from u2forge.precision import PrecisionMode
from u2forge.profiles import PostProfile, PreProfile
from u2forge.verbs.model_path import built_again, model_path
from u2forge.weights.cards import CARDS

_logger = logging.getLogger(__name__)


def open_segmenter(
    model: str | Path = "u2net",
    *,
    precision: PrecisionMode | None = None,
    pre: PreProfile | None = None,
    post: PostProfile | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    streams: int = 1,
    progress: bool = False,
) -> Segmenter:
    """A Segmenter on an opened engine; keep it and use it again: opening costs a second, a picture much less.

    model: a file that `build` wrote, or a card's name (fetched and built once, then cached); precision and
    batch_size choose the model that is built for a name, and must agree with a file's own.
    Raises InputError, ModelError, FetchError or EngineError.
    """
    check_engine(engine, device=device)  # before anything is fetched and built
    path = model_path(model, precision=precision, batch_size=batch_size, progress=progress)
    if str(model) not in CARDS:
        profiles_of(read_manifest(path))  # before it is compiled
    options = EngineOptions(
        device=device, threads=threads, streams=streams, cache_folder=cache_dir() / "compiled"
    )
    try:
        opened = open_engine(path, engine=engine, options=options)
    except ModelError as error:
        if str(model) not in CARDS:
            raise
        _logger.warning("the cached model is built again: %s", error)
        path = built_again(str(model), precision=precision, batch_size=batch_size)
        opened = open_engine(path, engine=engine, options=options)
    return Segmenter(opened, read_manifest(path), pre=pre, post=post)
