"""MagicMind's Python API on this machine's processors and GPUs: an adapter over u2forge.

`u2forge magicmind run SCRIPT.py` gives it to an unmodified program under MagicMind's own module names; written into a
program, it is `import u2forge.magicmind as mm`.
"""

from __future__ import annotations

from u2forge.magicmind.builder import Builder
from u2forge.magicmind.builder_config import BuilderConfig
from u2forge.magicmind.calib_data import CalibDataInterface, RemoteConfig
from u2forge.magicmind.calibrator import Calibrator, QuantizationAlgorithm
from u2forge.magicmind.data_types import DataType, get_numpy_dtype_by_datatype
from u2forge.magicmind.dims import Dims
from u2forge.magicmind.engine import Context, Engine
from u2forge.magicmind.model import Model
from u2forge.magicmind.network import Network
from u2forge.magicmind.parser import ModelKind, Parser
from u2forge.magicmind.status import Code, Status
from u2forge.magicmind.system import Device, System
from u2forge.magicmind.task_queue import Queue
from u2forge.magicmind.tensor import Tensor

__all__ = [
    "Builder",
    "BuilderConfig",
    "CalibDataInterface",
    "Calibrator",
    "Code",
    "Context",
    "DataType",
    "Device",
    "Dims",
    "Engine",
    "Model",
    "ModelKind",
    "Network",
    "Parser",
    "QuantizationAlgorithm",
    "Queue",
    "RemoteConfig",
    "Status",
    "System",
    "Tensor",
    "get_numpy_dtype_by_datatype",
]
