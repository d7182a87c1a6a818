"""What result is asked for of each picture: mask, cut-out, probability map or composite, in which file
format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from u2forge.errors import InputError
from u2forge.pipeline.background import Background
from u2forge.pipeline.encode_picture import PICTURE_FORMATS, PictureFormat

OutputKind = Literal["mask", "cutout", "probability", "composite"]
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)
# What each kind needs of a format: an alpha channel, or more than 8 bits.
_FORMATS_OF: dict[OutputKind, tuple[PictureFormat, ...]] = {
    "mask": PICTURE_FORMATS,
    "cutout": ("png", "webp", "avif", "tiff"),
    "probability": ("png", "tiff"),
    "composite": PICTURE_FORMATS,
}
_LOSSY_FORMATS = ("jpeg", "webp", "avif")


@dataclass(frozen=True)
class RenderOptions:
    """What to write for each picture. quality: 1 to 100, None for the format's default; background: for
    composites. Raises InputError where the choices do not go together."""

    output: OutputKind = "mask"
    format: PictureFormat = "png"
    quality: int | None = None
    background: Background | None = None

    def __post_init__(self) -> None:
        if self.output not in OUTPUT_KINDS:
            raise _wrong("output", ", ".join(OUTPUT_KINDS), repr(self.output), "choose one of them")
        if self.format not in _FORMATS_OF[self.output]:
            valid = ", ".join(_FORMATS_OF[self.output])
            raise _wrong(
                "format",
                f"one that can hold a {self.output}: {valid}",
                repr(self.format),
                f"choose one of them{', or a composite' if self.output == 'cutout' else ''}",
            )
        if self.quality is not None and self.format not in _LOSSY_FORMATS:
            raise _wrong(
                "quality",
                f"none, as {self.format} loses nothing",
                str(self.quality),
                "leave it out, or choose jpeg",
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise _wrong("quality", "1 to 100", str(self.quality), "choose a number in that range")
        if (self.output == "composite") != (self.background is not None):
            found = "none" if self.background is None else f"one, for the output {self.output!r}"
            raise _wrong(
                "background", "a background with a composite, and only there", found, "add it or leave it out"
            )

    @property
    def needs_picture(self) -> bool:
        """Whether the result shows the picture's own pixels."""
        return self.output in ("cutout", "composite")


def _wrong(argument: str, expected: str, found: str, fix: str) -> InputError:
    return InputError(where=f"option {argument!r}", expected=expected, found=found, fix=fix)
