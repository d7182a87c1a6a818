"""A traced U²-Net to an offline model, in any precision: a program as it is written for MagicMind.

u2forge magicmind run examples/magicmind/gen_model.py --pt_model u2net.pt --output_model u2net.model \
    --precision qint8_mixed_float16 --file_list photos/list.txt
"""

import argparse
import json
from pathlib import Path

import magicmind.python.runtime as mm
import numpy as np
from magicmind.python.common.types import get_numpy_dtype_by_datatype
from magicmind.python.runtime.parser import Parser
from pictures import prepare, read_rgb


def check(status, what):
    if not status.ok():
        raise SystemExit(f"{what}: {status}")


class Photos(mm.CalibDataInterface):
    """The pictures of a list, a batch at a time; the last one is filled up from the beginning."""

    def __init__(self, file_list, shape, data_type):
        super().__init__()
        names = file_list.read_text(encoding="utf-8").split("\n")
        self.files = [file_list.parent / name.strip() for name in names if name.strip()]
        self.shape = shape
        self.data_type = data_type
        self.position = 0
        self.sample = None

    def get_shape(self):
        return mm.Dims(self.shape)

    def get_data_type(self):
        return self.data_type

    def get_sample(self):
        return self.sample

    def next(self):
        batch, _, height, width = self.shape
        if self.position >= len(self.files):
            return mm.Status(mm.Code.OUT_OF_RANGE, "no more pictures")
        places = [place % len(self.files) for place in range(self.position, self.position + batch)]
        pictures = [prepare(read_rgb(self.files[place]), height, width) for place in places]
        self.sample = np.stack(pictures).astype(get_numpy_dtype_by_datatype(self.data_type))
        self.position += batch
        return mm.Status.OK()

    def reset(self):
        self.position = 0
        self.sample = None
        return mm.Status.OK()


def parsed(options):
    network = mm.Network()
    if options.pt_model.suffix == ".onnx":
        parser = Parser(mm.ModelKind.kOnnx)
    else:
        parser = Parser(mm.ModelKind.kPytorch)
        check(parser.set_model_param("pytorch-input-dtypes", [mm.DataType.FLOAT32]), "input types")
    check(parser.parse(network, str(options.pt_model)), "parse")
    shape = (options.batch_size, 3, options.input_height, options.input_width)
    check(network.get_input(0).set_dimension(mm.Dims(shape)), "input size")
    return network


def configured(options):
    config = mm.BuilderConfig()
    for part in (
        {"archs": [{"mtp_372": [6, 8]}]},
        {"opt_config": {"conv_scale_fold": True, "type64to32_conversion": True}},
        {"precision_config": {"precision_mode": options.precision}},
        {"precision_config": {"weight_quant_granularity": "per_axis", "activation_quant_algo": "asymmetric"}},
    ):
        check(config.parse_from_string(json.dumps(part)), "configuration")
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pt_model", type=Path, required=True)
    parser.add_argument("--output_model", type=Path, required=True)
    parser.add_argument("--precision", "--quant_mode", default="force_float32")
    parser.add_argument("--file_list", type=Path, help="calibration pictures, a name a line, beside the list")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--input_width", type=int, default=320)
    parser.add_argument("--input_height", type=int, default=320)
    parser.add_argument("--device_id", type=int, default=0)
    options = parser.parse_args()

    with mm.System() as system:
        if options.device_id >= system.device_count():
            raise SystemExit(f"no device {options.device_id}: there are {system.device_count()}")
        device = mm.Device()
        device.id = options.device_id
        check(device.active(), "device")
        network = parsed(options)
        config = configured(options)
        if options.precision.startswith("qint"):
            shape = tuple(network.get_input(0).get_dimension().GetDims())
            calibrator = mm.Calibrator([Photos(options.file_list, shape, mm.DataType.FLOAT32)])
            check(calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.EQNM_ALGORITHM), "algorithm")
            check(calibrator.calibrate(network, config), "calibration")
        model = mm.Builder().build_model("u2net", network, config)
        if model is None:
            raise SystemExit("the model could not be built")
        check(model.serialize_to_file(str(options.output_model)), "serialize")
    print(f"wrote {options.output_model}: {options.precision}, {model.get_input_dimensions()[0].GetDims()}")


if __name__ == "__main__":
    main()
