"""The pictures that an evaluation's page shows: where the first model errs most, where the models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from u2forge.evaluate.eval_row import OFF_SCALE
from u2forge.evaluate.evaluation import EvaluatedPicture
from u2forge.evaluate.picture_record import PictureRecord
from u2forge.evaluate.protocols import Protocol
from u2forge.evaluate.worst_pictures import RankedPicture, WorstPictures
from u2forge.pipeline.encode_picture import encode_picture
from u2forge.report.thumbnail import thumbnail

# As many as one looks at; at this size a page of 40 pictures and two models takes about 4 MB.
MOST_PICTURES = 20
_SIDE_PIXELS = 300


@dataclass(frozen=True)
class ShownPicture:
    """One picture's thumbnails. note: its size and figures. masks_png: by model."""

    note: str
    photo_jpeg: bytes
    truth_png: bytes
    masks_png: tuple[bytes, ...]


class Gallery:
    """Gathers thumbnails in one pass, of the few pictures that may yet be shown."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        # The error that ranks pictures: of a protocol that measures quality, where there is one.
        self._protocol = next((name for name in protocols if name not in OFF_SCALE), protocols[0])
        self._worst = WorstPictures(MOST_PICTURES)
        self._apart = WorstPictures(MOST_PICTURES)
        self._shown: dict[str, ShownPicture] = {}

    def add(self, position: int, record: PictureRecord, evaluated: EvaluatedPicture | None) -> None:
        """Takes in the picture at a position of the data set; None where only its record is left of it, from a run
        before this one."""
        if record.problem is not None:
            return
        leaving = [self._worst.add(self._error(record), position, record.name)]
        if len(record.models) > 1:
            leaving.append(self._apart.add(_difference(record), position, record.name))
        for name in leaving:
            if name is not None and name not in self._names():
                self._shown.pop(name, None)
        if evaluated is not None and record.name in self._names():
            self._shown[record.name] = _shown_picture(record, evaluated, self._error(record))

    def missing(self) -> list[str]:
        """Pictures that are to be shown and have no thumbnails yet."""
        return sorted(self._names() - self._shown.keys())

    def show(self, evaluated: EvaluatedPicture) -> None:
        """Brings the thumbnails of a missing picture."""
        record = evaluated.record
        if record.problem is None:
            self._shown[record.name] = _shown_picture(record, evaluated, self._error(record))

    def worst(self) -> list[tuple[str, ShownPicture]]:
        """Pictures by the first model's MAE, the largest first."""
        return self._in_order(self._worst.ranked())

    def apart(self) -> list[tuple[str, ShownPicture]]:
        """Pictures by the largest difference of a model's map to the first one's."""
        return self._in_order(self._apart.ranked())

    def _in_order(self, ranked: Sequence[RankedPicture]) -> list[tuple[str, ShownPicture]]:
        return [(one.name, self._shown[one.name]) for one in ranked if one.name in self._shown]

    def _names(self) -> set[str]:
        return {one.name for one in (*self._worst.ranked(), *self._apart.ranked())}

    def _error(self, record: PictureRecord) -> float:
        return record.models[0].scores[self._protocol].mae or 0.0


def _difference(record: PictureRecord) -> float:
    return max(model.parity.mean_difference for model in record.models if model.parity is not None)


def _shown_picture(record: PictureRecord, evaluated: EvaluatedPicture, error: float) -> ShownPicture:
    picture, truth = evaluated.picture, evaluated.truth
    assert picture is not None
    assert truth is not None
    note = f"{record.width} × {record.height}, MAE {error:.4f}"
    if len(record.models) > 1:
        worst_iou = min(model.parity.iou for model in record.models if model.parity is not None)
        note += f"; models differ by {_difference(record):.4f}, IoU {worst_iou:.3f}"
    small = thumbnail(picture.rgb, side=_SIDE_PIXELS)
    return ShownPicture(
        note=note,
        photo_jpeg=encode_picture(small, format="jpeg", quality=80, icc_profile=picture.icc_profile),
        truth_png=encode_picture(thumbnail(truth, side=_SIDE_PIXELS), format="png"),
        masks_png=tuple(
            encode_picture(thumbnail(mask, side=_SIDE_PIXELS), format="png") for mask in evaluated.masks
        ),
    )
