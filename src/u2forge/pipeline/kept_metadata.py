"""What of a file's ICC profile and EXIF still holds for its decoded, upright, 8-bit RGB pixels."""

from __future__ import annotations

from PIL import ExifTags, Image

_BASE = ExifTags.Base
# Who made the picture, with what, when, and whose it is. Not kept: GPS position (cut-outs get published),
# thumbnail (it shows what was cut away), maker notes (their offsets no longer hold), the old file's layout.
_KEPT_IN_MAIN = (
    _BASE.ImageDescription,
    _BASE.Make,
    _BASE.Model,
    _BASE.Software,
    _BASE.DateTime,
    _BASE.Artist,
    _BASE.Copyright,
)
_DROPPED_IN_EXIF = {
    _BASE.MakerNote,
    _BASE.ExifImageWidth,
    _BASE.ExifImageHeight,
    _BASE.ExifInteroperabilityOffset,
    _BASE.ColorSpace,
}
# One JPEG segment holds at most 65,533 bytes.
_EXIF_MAX_BYTES = 60_000
# Modes whose stored values reach rgb unchanged (palettes too), so that an RGB profile still describes them.
_RGB_MODES = {"RGB", "RGBA", "RGBX", "P", "PA"}


def kept_icc_profile(profile: object, *, mode: str) -> bytes | None:
    """The profile where it is one of RGB colours, and the pixels of that Pillow mode are RGB; else None."""
    if not isinstance(profile, bytes) or profile[16:20] != b"RGB " or mode not in _RGB_MODES:
        return None
    return profile


def kept_exif(exif: Image.Exif) -> bytes | None:
    """EXIF with orientation 1 and the photographer's fields; None where none is left."""
    try:
        kept = Image.Exif()
        for tag in _KEPT_IN_MAIN:
            if tag in exif:
                kept[tag] = exif[tag]
        taken = {
            tag: value
            for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items()
            if tag not in _DROPPED_IN_EXIF
        }
        if taken:
            kept.get_ifd(ExifTags.IFD.Exif).update(taken)
        if not len(kept) and not taken:
            return None
        kept[_BASE.Orientation] = 1
        data = kept.tobytes()
    except Exception:  # damaged fields are no reason to refuse the picture
        return None
    return data if len(data) <= _EXIF_MAX_BYTES else None
