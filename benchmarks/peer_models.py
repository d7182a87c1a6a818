"""The official network in the form that each peer takes: a name → a file, made once in a work folder.

`make_model("ncnn", …)` needs PyTorch's environment too: pnnx leaves the sizes of our graph's Resize nodes out, and so
reads what PyTorch traced.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import u2forge
from own_models import calibration_key
from peer_environments import environment_python
from u2forge.evaluate.accuracy_gate import DEFAULT_MAX_LOSS
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture
from u2forge.precision import FLOAT_MODES, PrecisionMode
from u2forge.verbs.calibration_data import evenly_spread
from u2forge.verbs.demo_photos import demo_photos

MODEL = "u2net"
SIZE = 320
CALIBRATION_COUNT = 96
OUR_MODES: tuple[PrecisionMode, ...] = (
    "force_float32",
    "force_float16",
    "qint8_mixed_float32",
    "qint16_mixed_float32",
)
HERE = Path(__file__).resolve().parent
WORKERS = HERE / "peer_workers"
_LONGEST_CONVERSION_S = 3600


class NotMadeError(Exception):
    """A peer's model could not be made; the message is the reason, on one line."""


@dataclass(frozen=True)
class ModelFolder:
    """work: where models are kept; environments: where those of the peers lie; calibration: photos for the quantized
    ones, None for the demo photos, which suffice to time them."""

    work: Path
    environments: Path
    calibration: Path | None

    @property
    def calibrated(self) -> str:
        """The name of the calibration, for names of files."""
        return calibration_key(self.calibration)

    @property
    def photos(self) -> list[Path]:
        """All photos to calibrate with."""
        if self.calibration is None:
            return demo_photos()
        return [item.path for item in collect_inputs([self.calibration])]


def make_model(name: str, folder: ModelFolder) -> Path:
    """The file: one of OUR_MODES, `rembg` (its weights), or a key of PEER_MODELS.

    Raises NotMadeError with the converter's reason, NotInstalledError, U2ForgeError.
    """
    folder.work.mkdir(parents=True, exist_ok=True)
    if name == "rembg":
        return u2forge.fetch(MODEL)
    for mode in OUR_MODES:
        if name == mode:
            return _ours(mode, folder)
    return PEER_MODELS[name](folder)


def folder_name(folder: Path) -> str:
    """A folder's name with its parent's: data sets call theirs `images`."""
    return "-".join(folder.resolve().parts[-2:])


def network_inputs(photos: Sequence[Path], path: Path) -> Path:
    """`path`, which holds the photos as network inputs, float32 (N, 3, 320, 320)."""
    prepared = [
        preprocess(read_picture(photo).rgb, height=SIZE, width=SIZE, profile="official") for photo in photos
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack(prepared))
    return path


def _ours(mode: PrecisionMode, folder: ModelFolder) -> Path:
    quantized = mode not in FLOAT_MODES
    path = folder.work / f"{MODEL}-{mode}-b1{f'-{folder.calibrated}' if quantized else ''}.onnx"
    if not path.exists():
        print(f"building {path}", file=sys.stderr)
        u2forge.build(
            MODEL,
            out=path,
            precision=mode,
            calibration=folder.photos if quantized else (),
            # Four photos calibrate ranges, but prove nothing: no gate.
            max_loss=None if folder.calibration is None else DEFAULT_MAX_LOSS,
            progress=True,
        )
    return path


def _onnx(folder: ModelFolder) -> Path:
    return _ours("force_float32", folder)


def _safetensors(folder: ModelFolder) -> Path:
    path = folder.work / f"{MODEL}.safetensors"
    return path if path.exists() else u2forge.export(MODEL, out=path, to="safetensors")


def _ncnn(folder: ModelFolder) -> Path:
    path = folder.work / f"{MODEL}.ncnn.param"
    if path.exists():
        return path
    torch_python = environment_python("pytorch", folder=folder.environments)
    environment = environment_python("ncnn", folder=folder.environments).parents[1]
    # The command of that name imports PyTorch; the program in the package does not.
    pnnx = next(environment.glob("lib/python*/site-packages/pnnx/pnnx"))
    with tempfile.TemporaryDirectory(dir=folder.work) as name:
        traced = Path(name) / f"{MODEL}.pt"
        _run([str(torch_python), str(WORKERS / "trace_network.py"), str(_safetensors(folder)), str(traced)])
        # fp16=0: else the weights are rounded to half precision.
        _run([str(pnnx), str(traced), f"inputshape=[1,3,{SIZE},{SIZE}]", "fp16=0"])
        for made in (traced.with_suffix(".ncnn.bin"), traced.with_suffix(".ncnn.param")):
            if not made.exists():
                raise NotMadeError(f"pnnx wrote no {made.name}")
            shutil.move(made, folder.work / made.name)
    return path


def _mnn(folder: ModelFolder) -> Path:
    path = folder.work / f"{MODEL}.mnn"
    if path.exists():
        return path
    converter = environment_python("mnn", folder=folder.environments).parent / "mnnconvert"
    part = path.with_suffix(".part.mnn")
    model = str(_onnx(folder))
    _run([str(converter), "-f", "ONNX", "--modelFile", model, "--MNNModel", str(part), "--bizCode", MODEL])
    if not part.exists():
        raise NotMadeError("mnnconvert wrote no model")
    return part.replace(path)


def _nncf(folder: ModelFolder, file_name: str) -> Path:
    out = folder.work / f"nncf-{folder.calibrated}"
    if not (out / file_name).exists():
        python = environment_python("openvino", folder=folder.environments)
        # The same ones as ours gets.
        photos = evenly_spread(folder.photos, CALIBRATION_COUNT)
        inputs = network_inputs(photos, out / "calibration.npy")
        script = str(HERE / "peer_quantizers.py")
        _run([str(python), script, str(_onnx(folder)), str(inputs), str(out), file_name])
        inputs.unlink()
    return out / file_name


PEER_MODELS: dict[str, Callable[[ModelFolder], Path]] = {
    "onnx": _onnx,
    "safetensors": _safetensors,
    "ncnn": _ncnn,
    "mnn": _mnn,
    "nncf_openvino": lambda folder: _nncf(folder, "nncf_openvino.xml"),
    "nncf_onnx": lambda folder: _nncf(folder, "nncf_onnx.onnx"),
}


def _run(command: Sequence[str]) -> None:
    print(f"running {' '.join(Path(word).name for word in command)}", file=sys.stderr)
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LONGEST_CONVERSION_S)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or [f"code {error.returncode}"]
        raise NotMadeError(f"{Path(command[0]).name}: {lines[-1].strip()[:300]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMadeError(str(error)) from error
