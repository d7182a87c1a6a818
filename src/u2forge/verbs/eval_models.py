"""What the user called models → all of them opened side by side, each with its file's digest and a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from u2forge.pipeline.segmenter import Segmenter
from u2forge.precision import PrecisionMode
from u2forge.profiles import PreProfile
from u2forge.verbs.model_path import model_path
from u2forge.verbs.open_segmenter import open_segmenter
from u2forge.weights.digest import sha256_of


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model that is ready. digest: sha256 of its file."""

    segmenter: Segmenter
    path: Path
    digest: str

    @property
    def name(self) -> str:
        """Its manifest's name."""
        return self.segmenter.manifest.name

    @property
    def precision(self) -> str:
        """What it was built for."""
        return self.segmenter.manifest.precision

    def described(self) -> str:
        """The model and what runs it: all that decides its maps and their speed."""
        info = self.segmenter.engine.info
        return (
            f"{self.name} {self.precision} {self.digest[:16]} pre {self.segmenter.pre} on {info.engine} {info.version} "
            f"{info.device} {info.precision_executed} threads {info.threads}"
        )


@contextmanager
def opened_models(
    models: Sequence[str | Path],
    *,
    precision: PrecisionMode | None,
    pre: PreProfile | None,
    engine: str,
    device: str,
    batch_size: int | None,
    threads: int | None,
    progress: bool,
) -> Iterator[list[OpenedModel]]:
    """The models, warmed up; closed at the end. Raises as open_segmenter does."""
    with ExitStack() as stack:
        opened = []
        for model in models:
            segmenter = stack.enter_context(
                open_segmenter(
                    model,
                    precision=precision,
                    pre=pre,
                    post="stretch",
                    engine=engine,
                    device=device,
                    batch_size=batch_size,
                    threads=threads,
                    progress=progress,
                )
            )
            path = model_path(model, precision=precision, batch_size=batch_size)
            opened.append(OpenedModel(segmenter, path, sha256_of(path)))
            segmenter.warm_up()
        yield opened


def model_labels(models: Sequence[OpenedModel]) -> list[str]:
    """Name and precision of each, with its file where that alone would not tell it from another."""
    short = [f"{model.name} {model.precision}" for model in models]
    count = Counter(short)
    return [
        label if count[label] == 1 else f"{label} ({model.path.name}, {index + 1})"
        for index, (label, model) in enumerate(zip(short, models, strict=True))
    ]
