"""Masks of a folder of photos, and how good they are: a program as it is written for MagicMind.

u2forge magicmind run examples/magicmind/infer.py --magicmind_model u2net.model --img_dir msra-b --output_folder out
"""

import argparse
from pathlib import Path

import magicmind.python.runtime as mm
import numpy as np
from magicmind.python.common.types import get_numpy_dtype_by_datatype
from pictures import mask_of, prepare, read_rgb
from PIL import Image

LEVELS = np.arange(256)
BETA_SQUARED = 0.3


def check(status, what):
    if not status.ok():
        raise SystemExit(f"{what}: {status}")


class Network:
    """The model on a device: batches of its size in, as many maps out as there were pictures."""

    def __init__(self, path, device_id):
        self.device = mm.Device()
        self.device.id = device_id
        check(self.device.active(), "device")
        model = mm.Model()
        check(model.deserialize_from_file(str(path)), "model")
        self.batch, _, self.height, self.width = model.get_input_dimensions()[0].GetDims()
        self.dtype = get_numpy_dtype_by_datatype(model.get_input_data_types()[0])
        config = mm.Model.EngineConfig()
        config.device_type = "MLU"
        self.engine = model.create_i_engine(config)
        if self.engine is None:
            raise SystemExit("the model could not be opened")
        self.context = self.engine.create_i_context()
        self.queue = self.device.create_queue()
        self.inputs = self.context.create_inputs()

    def maps(self, pictures):
        prepared = [prepare(rgb, self.height, self.width) for rgb in pictures]
        filled = prepared + prepared[-1:] * (self.batch - len(prepared))
        check(self.inputs[0].from_numpy(np.stack(filled).astype(self.dtype)), "input")
        self.inputs[0].to(self.device)
        outputs = []
        check(self.context.enqueue(self.inputs, outputs, self.queue), "enqueue")
        check(self.queue.sync(), "sync")
        fused = outputs[0].asnumpy()
        return [fused[index, 0] for index in range(len(pictures))]


class Scores:
    """Mean absolute error, and the best F of the mean precision and recall at 256 thresholds, all on 0 to 1."""

    def __init__(self):
        self.errors, self.precisions, self.recalls = [], [], []

    def add(self, mask, label):
        truth = label > 127
        self.errors.append(np.abs(mask / (mask.max() or 1) - truth).mean())
        # Levels as they are divided by the maximum: threshold k / 255 is met where 255 * level >= k * maximum.
        reached = mask.astype(int) * 255 // (int(mask.max()) or 1)
        counts = [np.bincount(reached[part], minlength=256)[::-1].cumsum()[::-1] for part in (truth, ~truth)]
        hits, found = counts[0], counts[0] + counts[1]
        self.precisions.append(hits / np.maximum(found, 1))
        self.recalls.append(hits / max(truth.sum(), 1))

    def line(self):
        precision, recall = np.mean(self.precisions, axis=0), np.mean(self.recalls, axis=0)
        both = np.maximum(BETA_SQUARED * precision + recall, 1e-12)
        best = ((1 + BETA_SQUARED) * precision * recall / both).max()
        return f"average mae: {np.mean(self.errors):.4f}, max fmeasure: {best:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--magicmind_model", type=Path, required=True)
    parser.add_argument("--img_dir", type=Path, required=True, help="x.jpg, with its label x.png beside it")
    parser.add_argument("--output_folder", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--save_img", type=int, default=1)
    parser.add_argument("--device_id", type=int, default=0)
    options = parser.parse_args()

    options.output_folder.mkdir(parents=True, exist_ok=True)
    network = Network(options.magicmind_model, options.device_id)
    if network.batch != options.batch_size:
        raise SystemExit(f"the model takes batches of {network.batch}, not of {options.batch_size}")
    photos = sorted(options.img_dir.glob("*.jpg"))
    if not photos:
        raise SystemExit(f"no *.jpg in {options.img_dir}")
    scores = Scores()
    for start in range(0, len(photos), options.batch_size):
        files = photos[start : start + options.batch_size]
        pictures = [read_rgb(file) for file in files]
        for file, rgb, probability in zip(files, pictures, network.maps(pictures), strict=True):
            mask = mask_of(probability, *rgb.shape[:2])
            if options.save_img:
                Image.fromarray(mask).save(options.output_folder / f"{file.stem}.png")
            with Image.open(file.with_suffix(".png")) as label:
                scores.add(mask, np.asarray(label.convert("L")))
    print(scores.line())
    (options.output_folder / "result.txt").write_text(f"{scores.line()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
