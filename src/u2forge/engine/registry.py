"""The engines by name, and the one door to open a model file on one of them."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from u2forge.engine.engine_entry import NVIDIA_KINDS, EngineEntry, device_kind
from u2forge.engine.kept_out import kept_out
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.onnxruntime_devices import GPU_INSTALL
from u2forge.engine.protocol import Engine, EngineOptions, Tensors
from u2forge.errors import EngineError, InputError, MissingDependencyError, U2ForgeError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import ModelFile, open_model_file
from u2forge.native.refusal import UnsupportedGraphError
from u2forge.target import UNVERIFIED

_log = logging.getLogger(__name__)

EngineName = Literal["native", "cuda", "openvino", "onnxruntime", "magicmind"]


# In the order that `auto` tries.
ENGINES: dict[str, EngineEntry] = {
    "native": EngineEntry(
        module="u2forge.native._kernels",
        opener="u2forge.engine.native_engine:open_native",
        devices="u2forge.engine.native_engine:native_devices",
        find_device="u2forge.engine.native_engine:find_device",
        profiler="u2forge.engine.native_profile:profile_native",
        extra=None,
        suits="u2forge.engine.native_engine:is_fastest",
        check_graph="u2forge.engine.native_engine:check_graph",
    ),
    "cuda": EngineEntry(
        module="torch",
        opener="u2forge.engine.cuda_engine:open_cuda",
        devices="u2forge.engine.cuda_device:gpu_devices",
        find_device="u2forge.engine.cuda_device:find_device",
        profiler="u2forge.engine.cuda_profile:profile_cuda",
        extra="cuda",
        # Not "auto": importing PyTorch takes seconds, and no GPU was at hand to measure it on.
        auto_devices=("cuda",),
        nvidia_install="install a PyTorch for CUDA (https://pytorch.org/get-started/locally)",
        note="on NVIDIA GPUs not verified: tested on the processor and with a double of CUDA",
    ),
    "openvino": EngineEntry(
        module="openvino",
        opener="u2forge.engine.openvino_engine:open_openvino",
        devices="u2forge.engine.openvino_engine:openvino_devices",
        find_device="u2forge.engine.openvino_engine:find_device",
        profiler="u2forge.engine.openvino_profile:profile_openvino",
        extra="openvino",
        auto_devices=("auto", "cpu", "gpu", "npu", "nvidia"),
        # Where it is there, `import openvino` alone writes a client id into the user's home and reports the
        # import to its makers, unasked.
        keep_out=("openvino_telemetry",),
    ),
    "onnxruntime": EngineEntry(
        module="onnxruntime",
        opener="u2forge.engine.onnxruntime_engine:open_onnxruntime",
        devices="u2forge.engine.onnxruntime_devices:onnxruntime_devices",
        find_device="u2forge.engine.onnxruntime_devices:find_device",
        profiler="u2forge.engine.onnxruntime_profile:profile_onnxruntime",
        extra="onnxruntime",
        auto_devices=("auto", "cpu", "cuda", "tensorrt", "coreml", "directml"),
        nvidia_install=GPU_INSTALL,
        # Else its import writes a device id into the user's home, for telemetry.
        environment=(("ORT_DISABLE_TELEMETRY", "1"),),
    ),
    "magicmind": EngineEntry(
        module="magicmind.python.runtime",
        opener="u2forge.engine.magicmind_engine:open_magicmind",
        devices="u2forge.engine.magicmind_runtime:magicmind_devices",
        find_device="u2forge.engine.magicmind_runtime:find_device",
        profiler=None,
        extra=None,
        bring="install Cambricon's MagicMind SDK for Python, which Cambricon hands out and which is not on the "
        "package index",
        target="mlu370",
        auto_devices=("auto", "mlu"),
        note=f"for models of `u2forge build --target mlu370` only; {UNVERIFIED}",
    ),
}
assert set(ENGINES) == set(get_args(EngineName))


def open_engine(path: Path, *, engine: str = "auto", options: EngineOptions | None = None) -> Engine:
    """The model file, checked, compiled and ready. auto: the fastest that is installed for such a model and has the
    device, the native one where its kernels know all of the graph's operators.

    Raises ModelError, InputError on an unknown engine, MissingDependencyError where it is not installed,
    EngineError where it cannot do what is asked.
    """
    choose_engine(engine)
    return open_model(open_model_file(path), engine=engine, options=options)


def open_model(model: ModelFile, *, engine: str = "auto", options: EngineOptions | None = None) -> Engine:
    """The model file, read and checked before, compiled and ready. Raises as open_engine does."""
    options = options or EngineOptions()
    name = choose_engine(engine, manifest=model.manifest, device=options.device)
    try:
        return _open(model, name, options)
    except UnsupportedGraphError as refusal:
        if engine != "auto":
            raise
        return _open(model, _instead_of(name, model, options.device, refusal), options)


def engine_for_graph(path: Path, name: str, *, device: str = "auto") -> str:
    """The engine that `auto` takes for the graph of a model file whose manifest the named one suits: that one, or the
    next where it refuses the graph. Opens none. Raises ModelError, UnsupportedGraphError where there is no other."""
    check = ENGINES[name].check_graph
    if check is None:
        return name
    model = open_model_file(path)
    try:
        _resolve(check)(model)
    except UnsupportedGraphError as refusal:
        return _instead_of(name, model, device, refusal)
    return name


def _instead_of(name: str, model: ModelFile, device: str, refusal: UnsupportedGraphError) -> str:
    other = next((other for other in _suiting(model.manifest, device) if other != name), None)
    if other is None:
        raise refusal
    _log.info("another engine than %s is taken: %s", name, refusal)
    return other


def _open(model: ModelFile, name: str, options: EngineOptions) -> Engine:
    import_engine(name)
    return _resolve_opener(ENGINES[name].opener)(model, options)


def profile_layers(
    path: Path, *, engine: str, options: EngineOptions, inputs: Tensors, inferences: int
) -> list[LayerTime]:
    """What the engine's own profiler says of each layer of the model file, over so many inferences, warmed up.

    Raises as open_engine does, and InputError where the inputs do not fit.
    """
    choose_engine(engine)
    model = open_model_file(path)
    name = choose_engine(engine, manifest=model.manifest, device=options.device)
    profiler = ENGINES[name].profiler
    if profiler is None:
        raise EngineError(
            where=f"engine {name!r}, profile of {path}",
            expected="an engine that times its layers",
            found="none that u2forge knows how to ask for them",
            fix="leave --profile out, or profile a portable model on another engine",
        )
    for spec in model.manifest.inputs:
        spec.check(inputs[spec.name], where=f"engine {name!r}")
    import_engine(name)
    try:
        layers: list[LayerTime] = _resolve(profiler)(model, options, inputs, inferences=inferences)
    except U2ForgeError:
        raise
    except Exception as error:
        raise EngineError(
            where=f"engine {name!r}, profile of {path}",
            expected="an inference",
            found=str(error).strip()[:500] or type(error).__name__,
            fix="try a smaller batch or another engine",
        ) from error
    return layers


def choose_engine(name: str, *, manifest: Manifest | None = None, device: str = "auto") -> str:
    """The engine of that name, or for auto the first installed one that suits the model and has the device; where there
    is no manifest, any that has it. Raises as open_engine does."""
    if name == "auto":
        return _chosen_by_auto(manifest, device)
    if name not in ENGINES:
        near = difflib.get_close_matches(name.lower(), ENGINES, n=1)
        raise InputError(
            where="engine",
            expected=f"auto or one of {', '.join(ENGINES)}",
            found=repr(name),
            fix=f"did you mean {near[0]!r}?" if near else "choose one of these names",
        )
    entry = ENGINES[name]
    if not entry.installed:
        raise MissingDependencyError(
            where=f"engine {name!r}",
            expected=f"the module {entry.module}",
            found=entry.missing,
            fix=f"{entry.mend}, or choose another engine",
        )
    if manifest is not None and manifest.target != entry.target:
        raise _of_another_target(name, manifest)
    return name


def _of_another_target(name: str, manifest: Manifest) -> EngineError:
    wanted = ENGINES[name].target
    engines = [engine for engine, entry in ENGINES.items() if entry.target == manifest.target]
    return EngineError(
        where=f"engine {name!r}, model {manifest.name!r}",
        expected=f"a model for the target {wanted}",
        found=f"one for {manifest.target}",
        fix=f"build it with `u2forge build --target {wanted}`, or run it with --engine {' or '.join(engines)}",
    )


def _chosen_by_auto(manifest: Manifest | None, device: str) -> str:
    chosen = next(_suiting(manifest, device), None)
    if chosen is not None:
        return chosen
    target = None if manifest is None else manifest.target
    able = {name: entry for name, entry in ENGINES.items() if entry.target == (target or "portable")}
    installed = [
        name for name, entry in ENGINES.items() if entry.installed and target in (None, entry.target)
    ]
    if installed and device != "auto":
        raise _no_such_device(installed, device, manifest)
    if installed and manifest is None:
        return installed[0]
    raise MissingDependencyError(
        where="engine 'auto'",
        expected=f"one of {', '.join(able)} installed",
        found="none that runs this model",
        fix=" or ".join(entry.mend for entry in able.values() if entry.extra or entry.bring),
    )


def _no_such_device(installed: Sequence[str], device: str, manifest: Manifest | None) -> EngineError:
    """Which engines have which devices, and how to get one that could have this one."""
    kind = device_kind(device)
    could = [name for name, entry in ENGINES.items() if kind in (entry.auto_devices or ())]
    return EngineError(
        where=f"engine 'auto', device {device!r}"
        + ("" if manifest is None else f", model {manifest.name!r}"),
        expected="an engine that has it" + ("" if manifest is None else " and runs this model"),
        found="; ".join(f"{name}: {_named_devices(name)}" for name in installed),
        fix="; ".join(f"{name}: {_mend_device(name, device)}" for name in could)
        or "choose one of these devices",
    )


def _named_devices(name: str) -> str:
    try:
        return ", ".join(engine_devices(name)) or "none"
    except Exception as error:  # a broken installation may raise anything
        return f"does not work ({error.found if isinstance(error, U2ForgeError) else error})"


def _mend_device(name: str, device: str) -> str:
    entry = ENGINES[name]
    if not entry.installed:
        nvidia = device_kind(device) in NVIDIA_KINDS
        return entry.nvidia_install if nvidia and entry.nvidia_install else entry.mend
    try:
        _resolve(entry.find_device)(engine_devices(name), device)
    except U2ForgeError as error:
        return error.fix
    return "choose a model that it runs"


def _suiting(manifest: Manifest | None, device: str) -> Iterator[str]:
    """The installed engines that `auto` may take, best first; each is asked, and imported, when its turn comes."""
    for name, entry in ENGINES.items():
        if entry.may_have(device) and entry.installed and _suits(name, manifest, device):
            yield name


def _suits(name: str, manifest: Manifest | None, device: str) -> bool:
    """Whether it has the device, and is one for the model. Without a model to go by, those that suit some models only
    count where a device is named."""
    entry = ENGINES[name]
    if manifest is None and device != "auto":
        return _has_device(name, device)
    if entry.target != ("portable" if manifest is None else manifest.target):
        return False
    if entry.suits is not None and not (manifest is not None and _suits_model(name, manifest, device)):
        return False
    return device == "auto" or _has_device(name, device)


def _suits_model(name: str, manifest: Manifest, device: str) -> bool:
    suits: Callable[..., bool] = _resolve(str(ENGINES[name].suits))
    try:
        import_engine(name)
    except MissingDependencyError as error:
        _log.warning("another engine than %s is taken: %s", name, error)
        return False
    return suits(manifest, device=device)


def _has_device(name: str, device: str) -> bool:
    try:
        _resolve(ENGINES[name].find_device)(engine_devices(name), device)
    except U2ForgeError:
        return False
    except Exception as error:  # a broken installation may raise anything
        _log.warning("another engine than %s is taken: it does not work (%s)", name, error)
        return False
    return True


def check_engine(engine: str, *, device: str) -> None:
    """Raises what open_engine would raise of that engine and device, without a model."""
    name = choose_engine(engine, device=device)
    if "auto" not in (engine, device):
        _resolve(ENGINES[name].find_device)(engine_devices(name), device)


def import_engine(name: str) -> None:
    """Imports an installed engine's package. Raises MissingDependencyError where it does not load."""
    entry = ENGINES[name]
    for variable, value in entry.environment:
        os.environ.setdefault(variable, value)
    try:
        with kept_out(*entry.keep_out):
            importlib.import_module(entry.module)
    except Exception as error:  # a broken installation may raise anything
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        raise MissingDependencyError(
            where=f"engine {name!r}",
            expected=f"the module {entry.module} to load",
            found=str(error).strip()[:300] or type(error).__name__,
            fix=f"{entry.mend} again, or choose another engine",
        ) from error


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind the error: native modules turn one that meets their start into an ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def engine_devices(name: str) -> list[str]:
    """The devices that an installed engine finds on this machine, by its own names. Imports the engine."""
    import_engine(name)
    devices: list[str] = _resolve(ENGINES[name].devices)()
    return devices


def _resolve_opener(place: str) -> Callable[[ModelFile, EngineOptions], Engine]:
    opener: Callable[[ModelFile, EngineOptions], Engine] = _resolve(place)
    return opener


def _resolve(place: str) -> Any:
    module, function = place.split(":")
    return getattr(importlib.import_module(module), function)
