"""Buffers of a lowered network → blocks of memory: what is never needed at once may lie in the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from u2forge.native.plan import Buffer, Step, View


@dataclass(frozen=True)
class SharedMemory:
    """sizes: of each block, in the unit of the buffers' sizes. blocks: by buffer, the number of its own."""

    sizes: tuple[int, ...]
    blocks: tuple[int, ...]


def shared_memory(buffers: Sequence[Buffer], steps: Sequence[Step], sizes: Sequence[int]) -> SharedMemory:
    """A block for each buffer. The model's inputs and outputs have blocks of their own: callers write and read them
    before and after all steps."""
    spans = _spans(steps)
    found: list[int] = []
    last_use: list[float] = []
    blocks = [0] * len(buffers)
    never = (float("inf"), float("inf"))
    for number in sorted(range(len(buffers)), key=lambda each: spans.get(each, never)[0]):
        first, last = spans.get(number, never)
        buffer = buffers[number]
        own = buffer.input_index is not None or buffer.output_index is not None or number not in spans
        free = [] if own else [block for block, end in enumerate(last_use) if end < first]
        if not free:
            blocks[number] = len(found)
            found.append(sizes[number])
            last_use.append(float("inf") if own else last)
            continue
        # The smallest that holds it; else the largest, which has to grow least.
        enough = [block for block in free if found[block] >= sizes[number]]
        chosen = min(enough, key=found.__getitem__) if enough else max(free, key=found.__getitem__)
        found[chosen] = max(found[chosen], sizes[number])
        last_use[chosen] = last
        blocks[number] = chosen
    return SharedMemory(tuple(found), tuple(blocks))


def _spans(steps: Sequence[Step]) -> dict[int, tuple[float, float]]:
    """By buffer, the first and the last step that touches it."""
    spans: dict[int, tuple[float, float]] = {}
    for index, step in enumerate(steps):
        for view in _views(step):
            first, _ = spans.get(view.buffer, (index, index))
            spans[view.buffer] = (first, index)
    return spans


def _views(step: Step) -> Iterator[View]:
    yield from (step.source, step.target)
    yield from (view for view in (step.residual, step.pooled) if view is not None)
