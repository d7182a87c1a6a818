"""A plan and its graph's inputs and outputs → the tables that are kept and executed."""

from __future__ import annotations

from u2forge.native.compile_plan import CompiledPlan
from u2forge.native.encode import encoded_buffers, encoded_steps
from u2forge.native.plan import Plan
from u2forge.native.prepared_header import NetworkTables


def network_tables(compiled: CompiledPlan, plan: Plan) -> NetworkTables:
    """The tables of a packed plan."""
    return NetworkTables(
        precision=plan.precision,
        buffers=encoded_buffers(plan),
        steps=encoded_steps(plan),
        names=tuple(step.name for step in plan.steps),
        inputs=compiled.inputs,
        outputs=compiled.outputs,
    )
