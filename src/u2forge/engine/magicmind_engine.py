"""The MagicMind engine: models of `build --target mlu370` on MLU cards by Cambricon's SDK. Not verified on hardware."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.fits_manifest import check_fits_manifest
from u2forge.engine.magicmind_runtime import (
    NAME,
    activate,
    active_device,
    checked,
    failure,
    find_device,
    magicmind_devices,
    present,
    sdk,
    sdk_tensors,
    sdk_version,
    system,
    under_our_names,
)
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.protocol import EngineInfo, EngineOptions, Phases, Tensors
from u2forge.errors import InputError
from u2forge.model_file.read import ModelFile
from u2forge.precision import PrecisionMode
from u2forge.target import UNVERIFIED

_log = logging.getLogger(__name__)
_FIX = "build the model again with `u2forge build --target mlu370` and this SDK, or look at the SDK's own log"


class Stream(NamedTuple):
    """What one inference at a time runs in: an SDK's Context with its input tensors, and a Queue of its own."""

    context: Any
    queue: Any
    inputs: list[Any]


class Names(NamedTuple):
    """Our tensors' names, each in the SDK's order."""

    inputs: list[str]
    outputs: list[str]


class MagicmindEngine:
    """An Engine: contexts in a pool, inside the SDK's System, which is left when the engine is closed."""

    def __init__(self, pool: PooledEngine[Stream], resources: ExitStack) -> None:
        self.info = pool.info
        self._pool = pool
        self._resources = resources

    def run(self, inputs: Tensors, *, phases: Phases | None = None) -> Answer:
        """See Engine.run."""
        return self._pool.run(inputs, phases=phases)

    def submit(self, inputs: Tensors) -> Future[Answer]:
        """See Engine.submit."""
        return self._pool.submit(inputs)

    def close(self) -> None:
        """See Engine.close."""
        self._pool.close()
        self._resources.close()


def open_magicmind(model: ModelFile, options: EngineOptions) -> MagicmindEngine:
    """The offline model on one card, a context and a queue for each stream. Raises EngineError with the SDK's message,
    InputError on an option that it cannot take, ModelError where the file is not what its manifest says."""
    if options.threads is not None:
        raise InputError(
            where=f"engine {NAME!r}, option 'threads'",
            expected="none: the card computes, not the processor's threads",
            found=str(options.threads),
            fix="leave --threads out; --streams is how many inferences run side by side",
        )
    _log.warning("the engine magicmind is %s", UNVERIFIED)
    with ExitStack() as stack:
        stack.enter_context(system())
        name = find_device(magicmind_devices(), options.device)
        start = time.perf_counter()
        device = active_device(name)
        opened, names = _loaded(model)
        engine = present(
            opened.create_i_engine(_engine_config()), call=f"Model.create_i_engine of {model.path}", fix=_FIX
        )
        info = _info(model, name, options.streams, engine_ms=ms_since(start))
        pool = PooledEngine(info, partial(_new_stream, engine, device), partial(_infer, names, info, device))
        resources = stack.pop_all()
    return MagicmindEngine(pool, resources)


def executed_precision(asked: PrecisionMode) -> str:
    """What can be said of the precision that runs: the one it was built for."""
    return f"{asked} as built (the SDK does not report it)"


def _loaded(model: ModelFile) -> tuple[Any, Names]:
    """The SDK's Model, checked against the manifest, and our names of its tensors."""
    opened = sdk().Model()
    checked(
        opened.deserialize_from_file(str(model.path)),
        call=f"Model.deserialize_from_file of {model.path}",
        fix=_FIX,
    )
    manifest = model.manifest
    inputs, outputs = sdk_tensors(opened)
    inputs = under_our_names(inputs, [spec.name for spec in manifest.inputs])
    outputs = under_our_names(outputs, [spec.name for spec in manifest.outputs])
    check_fits_manifest(model, inputs=inputs, outputs=outputs)
    return opened, Names([name for name, _, _ in inputs], [name for name, _, _ in outputs])


def _engine_config() -> Any:
    config = sdk().Model.EngineConfig()
    config.device_type = "MLU"
    return config


def _new_stream(engine: Any, device: Any) -> Stream:
    fix = "choose fewer --streams or a smaller batch"
    context = present(engine.create_i_context(), call="Engine.create_i_context", fix=fix)
    queue = present(device.create_queue(), call="Device.create_queue", fix=fix)
    inputs = present(context.create_inputs(), call="Context.create_inputs", fix=fix)
    return Stream(context, queue, list(inputs))


def _infer(
    names: Names, info: EngineInfo, device: Any, stream: Stream, tensors: Tensors, phases: Phases
) -> Answer:
    clock = time.perf_counter
    activate(device)
    start = clock()
    for name, tensor in zip(names.inputs, stream.inputs, strict=True):
        _require(tensor.from_numpy(np.ascontiguousarray(tensors[name])), f"from_numpy of {name!r}")
        _require(tensor.to(device), f"to(device) of {name!r}")
    handed_over = clock()
    outputs: list[Any] = []
    _require(stream.context.enqueue(stream.inputs, outputs, stream.queue), "Context.enqueue")
    accepted = clock()
    _require(stream.queue.sync(), "Queue.sync")
    computed = clock()
    found = dict(zip(names.outputs, map(_copied, outputs), strict=True))
    phases.host_to_device_ms = (handed_over - start) * 1000
    phases.enqueue_ms = (accepted - handed_over) * 1000
    phases.compute_ms = (computed - accepted) * 1000
    phases.device_to_host_ms = (clock() - computed) * 1000
    return {spec.name: found[spec.name] for spec in info.outputs}


def _copied(tensor: Any) -> NDArray[Any]:
    """The tensor's numbers in memory of the caller's own: the SDK's may be taken for the next answer."""
    return np.array(tensor.asnumpy())


def _require(answer: object, call: str) -> None:
    """The pool makes an EngineError of what is raised here."""
    found = failure(answer)
    if found is not None:
        raise RuntimeError(f"{call}: {found}")


def _info(model: ModelFile, device: str, streams: int, *, engine_ms: float) -> EngineInfo:
    manifest = model.manifest
    return EngineInfo(
        engine=NAME,
        version=sdk_version(),
        device=device,
        device_name=f"{device.upper()} (the SDK does not report its name; {UNVERIFIED.partition(':')[0]})",
        precision_asked=manifest.precision,
        precision_executed=executed_precision(manifest.precision),
        precision_counts={},
        # One of the host's feeds each stream.
        threads=streams,
        streams=streams,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        opening_ms={"engine": engine_ms},
    )
