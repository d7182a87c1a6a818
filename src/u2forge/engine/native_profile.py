"""How long each step of the native engine takes, as its own clock says."""

from __future__ import annotations

import numpy as np

from u2forge.engine.layer_time import LayerTime
from u2forge.engine.native_engine import find_device, level_of, native_devices, open_program, session_arrays
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions, Tensors
from u2forge.model_file.read import ModelFile

_WARM_UP = 2


def profile_native(
    model: ModelFile, options: EngineOptions, inputs: Tensors, *, inferences: int
) -> list[LayerTime]:
    """The steps in their order, of one inference after the other. Raises EngineError as open_native does."""
    level = level_of(find_device(native_devices(), options.device))
    prepared, program = open_program(model, options, level)
    session = program.session(options.threads or usable_processors(), level)
    arrays, outputs = session_arrays(prepared, inputs)
    times_ms = np.zeros((_WARM_UP + inferences, len(prepared.layers)))
    for row in times_ms:
        session.run(arrays, outputs, row)
    times_ms = times_ms[_WARM_UP:]
    return [
        LayerTime(
            name=layer.name,
            operator=layer.operator,
            kernel=f"{layer.kernel} {level}",
            precision=layer.precision,
            ms=float(mean),
            best_ms=float(best),
        )
        for layer, mean, best in zip(prepared.layers, times_ms.mean(0), times_ms.min(0), strict=True)
    ]
