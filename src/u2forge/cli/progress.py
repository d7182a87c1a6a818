"""The progress of a folder: a bar with pictures a second on stderr, or one JSON line a picture on stdout."""

from __future__ import annotations

import json
import sys
from types import TracebackType

from tqdm import tqdm

from u2forge.pipeline.picture_report import PictureReport


class PictureProgress:
    """Shows each report as it comes. Failures are always named on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._bar: tqdm[PictureReport] | None = None

    def start(self, total: int) -> None:
        """Opens the bar for `total` pictures."""
        if not self._as_json:
            self._bar = tqdm(total=total, unit="picture", file=sys.stderr, dynamic_ncols=True, disable=None)

    def report(self, report: PictureReport) -> None:
        """Shows one picture as done, failed or skipped."""
        if self._as_json:
            print(json.dumps(report.as_dict()), flush=True)
        if report.status == "failed":
            path, reason = str(report.input), str(report.reason)
            tqdm.write(f"failed: {reason if path in reason else f'{path}: {reason}'}", file=sys.stderr)
        if self._bar is not None:
            self._bar.update()

    def __enter__(self) -> PictureProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
