"""BuilderConfig: JSON, from strings and files, later values over earlier ones → the choices that a build follows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from u2forge.errors import InputError
from u2forge.magicmind.config_keys import KEYS, read_config
from u2forge.magicmind.status import Status, check_there, logger, status_of
from u2forge.precision import PrecisionMode, quantized_bits

T = TypeVar("T")


class BuilderConfig:
    """Empty: force_float32, everything fixed."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._told: set[str] = set()

    def parse_from_string(self, text: str) -> Status:
        """Adds a JSON object; nothing of it is taken where one value does not fit."""
        return status_of(lambda: self._add(text, where="builder configuration"))

    def parse_from_file(self, path: str | Path) -> Status:
        """The same from a file."""
        return status_of(lambda: self._add_file(Path(path).expanduser()))

    @property
    def precision_mode(self) -> PrecisionMode:
        """The precision to build for."""
        found: PrecisionMode = self.value("precision_config.precision_mode", "force_float32")
        return found

    def value(self, key: str, default: T) -> T:
        """The value of a key of KEYS, which has the type of the default."""
        found: Any = self._values.get(key, default)
        return found  # type: ignore[no-any-return]

    def inner_or_outer(self, key: str, default: T) -> T:
        """The same of one that may stand inside precision_config or outside; the one that came later counts."""
        inner = f"precision_config.{key}"
        order = [name for name in self._values if name in (key, inner)]
        return self.value(order[-1], default) if order else default

    def tell_unused(self) -> None:
        """Logs, once, each key that has no effect in the precision that is set now."""
        if quantized_bits(self.precision_mode) is None:
            for key in self._values:
                if KEYS[key].effect == "quantized":
                    self._tell(key, f"nothing is quantized in {self.precision_mode}")

    def _add_file(self, path: Path) -> None:
        check_there(path, where=f"builder configuration {path}", expected="a JSON file")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                where=f"builder configuration {path}",
                expected="a JSON file that can be read",
                found=str(error),
                fix="check the path and the right to read it",
            ) from error
        self._add(text, where=f"builder configuration {path}")

    def _add(self, text: str, *, where: str) -> None:
        try:
            values = json.loads(text)
            if not isinstance(values, Mapping):
                raise ValueError(f"a {type(values).__name__}, no object")
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                where=where,
                expected='a JSON object: {"precision_config": {"precision_mode": "force_float16"}}, say',
                found=str(error)[:120],
                fix="correct the JSON",
            ) from error
        for key, value in read_config(values).items():
            self._values.pop(key, None)  # to the end: later ones count
            self._values[key] = value
            if KEYS[key].effect == "none":
                self._tell(key, KEYS[key].about)

    def _tell(self, key: str, reason: str) -> None:
        if key not in self._told:
            self._told.add(key)
            logger.warning("%s has no effect: %s", key, reason)
