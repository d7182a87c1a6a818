"""Pixels to the bytes of a PNG file, several times faster than Pillow's encoder at nearly its size.

Masks and cut-outs are smooth or flat, so one fixed row filter (up) and run-length matching come close to a
full search.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_UP = 2
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_BYTES_PER_BLOCK = 1 << 20


def png_bytes(pixels: NDArray[Any], *, icc_profile: bytes | None = None, exif: bytes | None = None) -> bytes:
    """The PNG file of (H, W) or (H, W, 1 to 4) pixels, uint8 or uint16. exif: with or without "Exif\\0\\0".
    Source: PNG specification, third edition, W3C 2025."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    depth = pixels.dtype.itemsize * 8
    chunks = [
        _SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPE[channels], 0, 0, 0)),
    ]
    if icc_profile:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks.extend(_chunk(b"IDAT", piece) for piece in _compressed(pixels.reshape(height, width * channels)))
    chunks.append(_chunk(b"IEND", b""))
    return b"".join(chunks)


def _compressed(lines: NDArray[Any]) -> list[bytes]:
    """The zlib stream of all rows, in pieces; filtered block by block, so that little memory is needed."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    line_bytes = lines.shape[1] * lines.dtype.itemsize
    step = max(1, _BYTES_PER_BLOCK // (line_bytes + 1))
    above = np.zeros(line_bytes, np.uint8)
    pieces = []
    for top in range(0, len(lines), step):
        block = np.ascontiguousarray(
            lines[top : top + step].astype(lines.dtype.newbyteorder(">"), copy=False)
        )
        rows = block.view(np.uint8).reshape(len(block), line_bytes)
        filtered = np.empty((len(rows), line_bytes + 1), np.uint8)
        filtered[:, 0] = _FILTER_UP
        np.subtract(rows[0], above, out=filtered[0, 1:])
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        above = rows[-1]
        pieces.append(compressor.compress(filtered.data))
    pieces.append(compressor.flush())
    return [piece for piece in pieces if piece]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join(
        (struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
    )
