"""A checkpoint of your own to an offline model of another input size, and what is in it.

python examples/03_own_model.py my_u2net.pth my_model.onnx
"""

import sys

import u2forge


def main(checkpoint: str, model: str) -> None:
    manifest = u2forge.build(checkpoint, out=model, input_height=256, input_width=448, batch_size="dynamic")
    found = u2forge.inspect(model)
    print(f"{manifest.name}: {manifest.inputs[0]}, {found.summary.macs / 1e9:.2f} GMAC a picture")


if __name__ == "__main__":
    main(*sys.argv[1:])
