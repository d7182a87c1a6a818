"""The ONNX Runtime engine: CPUs, and whatever accelerators the installed build has providers for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from u2forge.engine.fits_manifest import FoundTensor, check_fits_manifest
from u2forge.engine.integer_products import check_integer_products
from u2forge.engine.nvidia_driver import nvidia_driver
from u2forge.engine.onnxruntime_devices import NAME, Device, device_of, find_device, onnxruntime_devices
from u2forge.engine.onnxruntime_inference import inference
from u2forge.engine.onnxruntime_session import OpenedSession, open_session, session_settings, usable_streams
from u2forge.engine.pooled_engine import PooledEngine
from u2forge.engine.processor import processor_name, usable_processors
from u2forge.engine.protocol import EngineInfo, EngineOptions
from u2forge.model_file.read import ModelFile
from u2forge.precision import float_type, quantized_bits

if TYPE_CHECKING:
    import onnxruntime

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{
        f"tensor({name})": name
        for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
    },
}


def open_onnxruntime(model: ModelFile, options: EngineOptions) -> PooledEngine[onnxruntime.IOBinding]:
    """The model, in a session on one device. Raises EngineError where the device is missing or refuses the model."""
    device = device_of(find_device(onnxruntime_devices(), options.device))
    if device.kind == "cpu":
        check_integer_products(model, engine=NAME)
    threads = options.threads or usable_processors()
    streams = usable_streams(device, threads=threads, asked=options.streams)
    settings = session_settings(model, device, threads=threads, streams=streams)
    opened = open_session(model, device, settings, cache_folder=options.cache_folder)
    session = opened.session
    check_fits_manifest(model, inputs=_found(session.get_inputs()), outputs=_found(session.get_outputs()))
    info = _info(model, device, threads, streams, opened)
    return PooledEngine(info, session.io_binding, inference(session, info.outputs, device))


def _executed(device: Device, model: ModelFile, opened: OpenedSession) -> str:
    """ONNX Runtime computes in the types that the graph says, float32 in ours, but where a provider option says more;
    of an 8-bit graph on the processor, the one that most of the convolutions that it made of it run in.

    It does not report what a provider makes of it: on these devices the answer is what was configured. TensorRT takes
    products of 10 bits for float32 by itself, on GPUs that have them, and no option of the provider forbids it.
    """
    if opened.convolution_counts:
        return opened.convolution_counts.most_common(1)[0][0]
    half = float_type(model.manifest.precision) == "float16"
    if device.kind == "tensorrt":
        bits = quantized_bits(model.manifest.precision)
        return "int8" if bits == 8 else "float16" if half else "tensorfloat32"
    return "tensorfloat32" if half and device.kind == "cuda" else "float32"


def _device_name(device: Device) -> str:
    if device.kind == "cpu":
        return processor_name()
    driver = nvidia_driver() if device.provider.is_nvidia else None
    if driver is None or device.number >= len(driver.gpus):
        return device.provider.name
    return f"{driver.gpus[device.number].name} ({device.provider.name})"


def _found(arguments: list[onnxruntime.NodeArg]) -> list[FoundTensor]:
    return [
        (
            argument.name,
            _DTYPES.get(argument.type, argument.type),
            tuple(size if isinstance(size, int) else None for size in argument.shape),
        )
        for argument in arguments
    ]


def _info(model: ModelFile, device: Device, threads: int, streams: int, opened: OpenedSession) -> EngineInfo:
    import onnxruntime

    return EngineInfo(
        engine=NAME,
        version=onnxruntime.__version__,
        device=device.name,
        device_name=_device_name(device),
        precision_asked=model.manifest.precision,
        precision_executed=_executed(device, model, opened),
        precision_counts=dict(opened.convolution_counts),
        threads=threads,
        streams=streams,
        inputs=model.manifest.inputs,
        outputs=model.manifest.outputs,
        opening_ms={"engine": opened.engine_ms},
    )
