"""A program of its own: prepares a model's network in a cache; prints whether ONNX was parsed, and a digest."""

from __future__ import annotations

import hashlib
import sys
import zlib
from pathlib import Path

from u2forge.model_file.read import open_model_file
from u2forge.native.prepared import prepared_network

model, cache = map(Path, sys.argv[1:3])
prepared = prepared_network(
    open_model_file(model),
    precision="float32",
    cache_folder=cache,
    kernels_version=1,
    checksum=zlib.crc32,
)
parsed = bool({"onnx", "onnx_ir"} & set(sys.modules))
sys.stdout.write(f"{parsed} {hashlib.sha256(prepared.weights.tobytes()).hexdigest()}\n")
