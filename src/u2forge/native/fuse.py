"""A network → the same in fewer steps: a convolution also adds another tensor, and pools what it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from u2forge.native.network import Computation, Network, Operation, Tensor
from u2forge.native.plan import Algorithm, Kind


def fused(network: Network) -> Network:
    """The network with each Add that it can be put into the later of the two convolutions that it reads, and each
    2×2 maximum of what a Winograd convolution wrote put into that one."""
    steps = _Steps(network)
    for operation in network.operations:
        if isinstance(operation, Computation) and operation.kind is Kind.ADD and steps.take_add(operation):
            continue
        if isinstance(operation, Computation) and operation.kind is Kind.POOL and steps.take_pool(operation):
            continue
        steps.append(operation)
    return replace(network, operations=tuple(steps.operations))


class _Steps:
    """The operations so far, and which of them wrote each tensor."""

    def __init__(self, network: Network) -> None:
        self.operations: list[Operation] = []
        # What is there before the first step was written by none of them.
        self._written = dict.fromkeys(network.inputs, -1)
        self._reads = Counter(tensor for each in network.operations for tensor in _read(each))

    def append(self, operation: Operation) -> None:
        self._written[operation.target] = len(self.operations)
        self.operations.append(operation)

    def take_add(self, add: Computation) -> bool:
        """Puts the addition into the later of the two steps that wrote its terms, where that is a convolution whose
        own result nobody else reads."""
        assert add.residual is not None
        earlier, later = sorted((add.source, add.residual), key=self._written.__getitem__)
        index = self._written[later]
        step = self._convolution(index)
        alone = self._reads[later] == 1 and self._written[earlier] < index
        if step is None or not alone or step.target is not later or step.residual is not None:
            return False
        self.operations[index] = replace(step, target=add.target, residual=earlier)
        self._written[add.target] = index
        return True

    def take_pool(self, pool: Computation) -> bool:
        """Lets the Winograd convolution that wrote the pool's input write its maxima, too. Of one pixel the maxima
        would have the convolution's own size, and might come to lie in the same buffer."""
        index = self._written[pool.source]
        step = self._convolution(index)
        fits = step is not None and step.algorithm is Algorithm.WINOGRAD and step.pooled is None
        one_pixel = pool.source.height == pool.source.width == 1
        if step is None or not fits or step.target is not pool.source or one_pixel:
            return False
        self.operations[index] = replace(step, pooled=pool.target)
        self._written[pool.target] = index
        return True

    def _convolution(self, index: int) -> Computation | None:
        step = self.operations[index] if index >= 0 else None
        return step if isinstance(step, Computation) and step.kind is Kind.CONVOLUTION else None


def _read(operation: Operation) -> Iterable[Tensor]:
    if isinstance(operation, Computation):
        return (operation.source,) if operation.residual is None else (operation.source, operation.residual)
    return operation.parts
