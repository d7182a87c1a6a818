"""Program: opens a model on OpenVINO with a cache folder, runs it, saves the answer; prints what it executed in."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np

from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import open_engine


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    model, cache, answer = map(Path, sys.argv[1:4])
    engine = open_engine(model, engine="openvino", options=EngineOptions(cache_folder=cache))
    spec = engine.info.inputs[0]
    picture = np.random.default_rng(0).standard_normal([size or 1 for size in spec.shape]).astype(np.float32)
    np.save(answer, engine.run({spec.name: picture})["d0"])
    engine.close()


if __name__ == "__main__":
    main()
