"""Calibration pictures through the float model: statistics of its activations, and maps for the gate to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from u2forge.errors import AccuracyError, InputError
from u2forge.pipeline.inputs import InputPicture
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.postprocess import FLAT_RANGE, stretch
from u2forge.pipeline.segmenter import Segmenter
from u2forge.quantize.calibration_faults import channel_order_fault, plain_picture_fault
from u2forge.verbs.calibration_data import CalibrationData, random_pictures, readable_pictures

if TYPE_CHECKING:
    from u2forge.quantize.observe import CalibrationBuilder, Observation

# The gate's verdict on fewer pictures would be chance.
FEWEST_CHECKED = 4
_PICTURES_TO_SWAP = 16


@dataclass(frozen=True, eq=False)
class CheckPicture:
    """A picture for the gate: what the network takes of it, and the float model's stretched map."""

    name: str
    prepared: NDArray[Any]
    reference: NDArray[np.float32]


class Calibration:
    """One pass over all pictures; afterwards, what was found.

    check: only pictures in which the float model finds something; failures: pictures that could not be read.
    """

    def __init__(self, observation: Observation, segmenter: Segmenter, *, progress: bool) -> None:
        from u2forge.quantize.observe import STATISTICS_NAME, CalibrationBuilder

        self.failures: list[str] = []
        self.read: list[InputPicture] = []
        self.check: list[CheckPicture] = []
        self.blank_checks = 0
        self.statistics: CalibrationBuilder = CalibrationBuilder(observation.observed)
        self.check_statistics: CalibrationBuilder = CalibrationBuilder(observation.observed)
        self._segmenter = segmenter
        self._statistics_name = STATISTICS_NAME
        self._progress = progress
        self._spreads: list[int] = []
        self._colours: list[tuple[float, float, float]] = []

    def run(self, data: CalibrationData) -> None:
        """Takes every picture of the data. Raises InputError where none can be read, EngineError."""
        total = len(data.check) + (data.count if data.random is not None else len(data.pictures))
        with tqdm(total=total, unit="picture", desc="calibrating", disable=not self._progress) as bar:
            if data.random is not None:
                for picture in random_pictures(data):
                    self._observe(self._segmenter.prepare(picture), self.statistics)
                    bar.update()
            for item, picture in readable_pictures(data.pictures, self.failures):
                self._calibrate(item, picture)
                bar.update()
            for item, picture in readable_pictures(data.check, self.failures):
                self._add_check(item, picture)
                bar.update()
        if data.source != "ranges" and not self.statistics.pictures:
            raise InputError(
                where="calibration pictures",
                expected="at least one that can be read",
                found="; ".join(self.failures[:3]),
                fix="give a folder with sound pictures",
            )

    def faults(self) -> list[str]:
        """What is wrong with the calibration pictures themselves."""
        found = [plain_picture_fault(self._spreads)] if self._spreads else []
        if self._colours:
            red_minus_blue, uncertainty, swapped = np.array(self._colours).T
            found.append(channel_order_fault(red_minus_blue, uncertainty, swapped))
        return [fault for fault in found if fault is not None]

    def _calibrate(self, item: InputPicture, picture: Picture) -> None:
        self.read.append(item)
        probability = self._observe(self._segmenter.prepare(picture), self.statistics)
        self._spreads.append(int(picture.rgb.max()) - int(picture.rgb.min()))
        if len(self._colours) < _PICTURES_TO_SWAP:
            swapped = replace(picture, rgb=np.ascontiguousarray(picture.rgb[:, :, ::-1]))
            means = picture.rgb.reshape(-1, 3).mean(0)
            self._colours.append(
                (
                    float(means[0] - means[2]),
                    _uncertainty(probability),
                    _uncertainty(self._observe(self._segmenter.prepare(swapped), None)),
                )
            )

    def _add_check(self, item: InputPicture, picture: Picture) -> None:
        prepared = self._segmenter.prepare(picture)
        probability = self._observe(prepared, self.check_statistics)
        if float(np.ptp(probability)) < FLAT_RANGE:
            self.blank_checks += 1
            return
        self.check.append(CheckPicture(str(item.path), prepared, stretch(probability)))

    def _observe(self, prepared: NDArray[Any], into: CalibrationBuilder | None) -> NDArray[np.float32]:
        """A prepared picture's probability map; its statistics go to `into`."""
        answer = self._segmenter.submit([prepared]).result()
        if into is not None:
            into.add(answer[self._statistics_name])
        return self._segmenter.maps(answer, count=1)[0]


def require_check_pictures(check: Sequence[CheckPicture], *, blank: int, faults: Sequence[str]) -> None:
    """Raises AccuracyError where there are too few pictures for the gate to say anything."""
    if len(check) >= FEWEST_CHECKED:
        return
    causes = "; ".join(faults)
    raise AccuracyError(
        where="accuracy gate",
        expected=f"at least {FEWEST_CHECKED} check pictures in which the float model finds something",
        found=f"{len(check)} of {len(check) + blank}" + (f" ({causes})" if causes else ""),
        fix="calibrate with more ordinary photos, or name some for the gate with --check FOLDER "
        "(--max-loss none builds without any check)",
    )


def _uncertainty(probability: NDArray[np.float32]) -> float:
    """Mean of 4 p (1 - p): 0 for a map of zeros and ones, 1 for one of halves."""
    return float(np.mean(4 * probability * (1 - probability)))
