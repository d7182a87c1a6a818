"""DataType: MagicMind's names of element types, and what they are in numpy and in a graph."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from u2forge.errors import unknown_choice
from u2forge.magicmind.status import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir


class DataType(Enum):
    """Element types; the values are numpy's names. QINT8 and QINT16 are of inner values, never of arrays."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    BOOL = "bool"
    QINT8 = "qint8"
    QINT16 = "qint16"


_BY_NAME = {kind.value: kind for kind in DataType}


def get_numpy_dtype_by_datatype(data_type: DataType) -> type[Any]:
    """The numpy scalar type of arrays of that type: integers for QINT8 and QINT16. Raises InputError."""
    if not isinstance(data_type, DataType):
        raise unknown_choice(data_type, [str(kind) for kind in DataType], where="get_numpy_dtype_by_datatype")
    found: type[Any] = np.dtype(data_type.value.removeprefix("q")).type
    return found


def data_type_of(dtype: str) -> DataType:
    """MagicMind's name of a numpy type. Raises InputError where it has none."""
    if dtype not in _BY_NAME:
        raise UnsupportedError(
            where="data type",
            expected=f"one of {', '.join(_BY_NAME)}",
            found=dtype,
            fix='add {"opt_config": {"type64to32_conversion": true}} to the configuration, or cast in the network',
        )
    return _BY_NAME[dtype]


def graph_type(data_type: DataType, *, where: str) -> onnx_ir.DataType:
    """The graph's name of the type. Raises InputError on what an array cannot have."""
    import onnx_ir

    if not isinstance(data_type, DataType):
        raise unknown_choice(data_type, [str(kind) for kind in DataType], where=where)
    if data_type in (DataType.QINT8, DataType.QINT16):
        raise UnsupportedError(
            where=where,
            expected="a type that numpy arrays have",
            found=data_type.name,
            fix="leave the data type, and choose a qint precision_mode: inputs and outputs stay what they are",
        )
    return onnx_ir.DataType.from_numpy(np.dtype(data_type.value))
