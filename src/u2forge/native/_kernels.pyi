"""The compiled half of the native engine: native/src/module.cpp."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

KERNELS_VERSION: int

def levels() -> list[str]: ...
def checksum(bytes: NDArray[np.uint8]) -> int: ...
def release_free_memory() -> None: ...

class Session:
    @property
    def memory_bytes(self) -> int: ...
    def run(
        self,
        inputs: list[NDArray[Any]],
        outputs: list[NDArray[np.float32]],
        step_ms: NDArray[np.float64] | None = None,
    ) -> None: ...
    def poison(self) -> None: ...

class Program:
    def __init__(
        self,
        precision: str,
        buffers: NDArray[np.int64],
        steps: NDArray[np.int64],
        weights: NDArray[np.uint8],
    ) -> None: ...
    def session(self, threads: int, level: str) -> Session: ...
