"""One photo to a cut-out, step by step. Keep the segmenter for the next photo: opening it is what takes time.

python examples/01_one_picture.py cat.jpg cat.png
"""

import sys
from pathlib import Path

import u2forge


def main(photo: str, result: str, model: str = "u2net") -> None:
    with u2forge.open_segmenter(model) as segmenter:
        picture = u2forge.read_picture(Path(photo))
        found = segmenter.segment(picture)
        pixels = u2forge.cutout(picture, found.mask)
        executed = segmenter.engine.info.precision_executed
    Path(result).write_bytes(u2forge.encode_picture(pixels, format="png", icc_profile=picture.icc_profile))
    times = ", ".join(f"{stage} {milliseconds:.0f} ms" for stage, milliseconds in found.stage_ms.items())
    print(f"{result}: {executed}, {times}")


if __name__ == "__main__":
    main(*sys.argv[1:])
