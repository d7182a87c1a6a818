"""How public saliency data sets lie on disk: the folder of photos and the folder of masks, a row each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """photos, masks: folders below the data set's own, in lower case, "/" between. known_from: who has it so."""

    photos: str
    masks: str
    known_from: str

    def __str__(self) -> str:
        return f"{self.photos}/ + {self.masks}/ ({self.known_from})"


# The names are those of the archives that the data sets' authors publish, and of their common repackagings.
LAYOUTS = (
    Layout("images", "masks", "plain"),
    Layout("images", "mask", "plain"),
    Layout("image", "masks", "plain"),
    Layout("image", "mask", "plain"),
    Layout("images", "ground_truth_mask", "ECSSD"),
    Layout("images", "ground_truth", "ECSSD"),
    Layout("images", "gt", "SOD"),
    Layout("image", "gt", "SOD"),
    Layout("img", "gt", "SOD"),
    Layout("imgs", "gt", "HKU-IS, SOD"),
    Layout("imgs", "masks", "PASCAL-S"),
    Layout("datasets/imgs", "datasets/masks", "PASCAL-S"),
    Layout("duts-te-image", "duts-te-mask", "DUTS"),
    Layout("duts-tr-image", "duts-tr-mask", "DUTS"),
    Layout("dut-omron-image", "pixelwisegt-new-png", "DUT-OMRON"),
    Layout("jpegimages/480p", "annotations/480p", "DAVIS"),
)
FLAT_LAYOUT = "x.jpg + x.png in one folder (MSRA-B)"
