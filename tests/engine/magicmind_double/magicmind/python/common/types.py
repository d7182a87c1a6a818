"""magicmind.python.common.types, as far as u2forge uses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from magicmind.python.runtime import DataType

_TYPES = {DataType.FLOAT32: np.float32, DataType.FLOAT16: np.float16, DataType.UINT8: np.uint8}


def get_numpy_dtype_by_datatype(kind: DataType) -> Any:
    return _TYPES[kind]
