"""eval as a gate: the loss of accuracy against a baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import u2forge
from u2forge.cli.main import main
from u2forge.errors import AccuracyError


@pytest.fixture(scope="module")
def base(tiny_model: Path, made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation that others are held against."""
    out = tmp_path_factory.mktemp("base")
    u2forge.eval(tiny_model, dataset=made_up, out=out)
    return out / "eval.json"


def gated(model: Path, dataset: Path, baseline: Path, *words: object) -> int:
    return main(
        ["eval", str(model), "--dataset", str(dataset), "--baseline", str(baseline), *map(str, words)]
    )


def changed(base: Path, path: Path, **changes: object) -> Path:
    """The baseline with other values in its row."""
    values = json.loads(base.read_text())
    values["rows"][0].update(changes)
    path.write_text(json.dumps(values))
    return path


def test_a_model_passes_its_own_gate(tiny_model: Path, made_up: Path, base: Path) -> None:
    assert gated(tiny_model, made_up, base, "--max-mae-loss", 0, "--max-f-loss", 0) == 0


def test_a_loss_beyond_the_gate_is_named_and_ends_with_9(
    tiny_model: Path, made_up: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(base.read_text())["rows"][0]
    better = changed(base, tmp_path / "better.json", mae=row["mae"] - 0.002)
    assert gated(tiny_model, made_up, better, "--max-mae-loss", 0.0005, "--out", tmp_path / "out") == 9
    captured = capsys.readouterr()
    assert "made-up: 26 pictures" in captured.out
    assert "expected a loss of MAE of at most 0.0005; found tiny (force_float32, paper)" in captured.err
    assert "a loss of 0.002000" in captured.err
    assert (tmp_path / "out" / "eval.json").exists()
    assert gated(tiny_model, made_up, better, "--max-mae-loss", 0.003) == 0
    assert gated(tiny_model, made_up, better, "--max-f-loss", 0) == 0
    with pytest.raises(AccuracyError, match="maximum F"):
        u2forge.eval(
            tiny_model,
            dataset=made_up,
            baseline=changed(base, tmp_path / "f.json", max_f=row["max_f"] + 0.1),
            max_f_loss=0.01,
        )


def test_one_model_in_the_baseline_measures_whatever_it_is_called(
    tiny_model: Path, other_model: Path, made_up: Path, base: Path, tmp_path: Path
) -> None:
    renamed = changed(base, tmp_path / "named.json", model="another", precision="qint8")
    assert gated(tiny_model, made_up, renamed, "--max-mae-loss", 0) == 0
    values = json.loads(base.read_text())
    values["rows"] = [{**values["rows"][0], "model": name} for name in ("a", "b")]
    (tmp_path / "two.json").write_text(json.dumps(values))
    assert gated(tiny_model, made_up, tmp_path / "two.json", "--max-mae-loss", 0) == 2


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"dataset": "other"}, "rows of other"),
        ({"images": 3}, "one of 3"),
        ({"protocol": "pysodmetrics"}, "rows by pysodmetrics"),
        ({"mae": "low"}, "a number expected"),
    ],
)
def test_a_baseline_that_does_not_fit(
    changes: dict[str, object],
    found: str,
    tiny_model: Path,
    made_up: Path,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = changed(base, tmp_path / "b.json", **changes)
    assert gated(tiny_model, made_up, path, "--max-mae-loss", 0.1) == 2
    assert found in capsys.readouterr().err


def test_a_baseline_of_other_pictures_and_a_missing_figure(
    tiny_model: Path, made_up: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gated(tiny_model, made_up, base, "--max-mae-loss", 0.1, "--limit", 5) == 2
    assert "other pictures" in capsys.readouterr().err
    assert gated(tiny_model, made_up, changed(base, tmp_path / "b", mae=None), "--max-mae-loss", 0.1) == 9
    for content in (b"", b"[]", b"{", b'{"rows": []}', b'{"rows": [1]}', b"\xff"):
        (tmp_path / "broken.json").write_bytes(content)
        assert gated(tiny_model, made_up, tmp_path / "broken.json", "--max-mae-loss", 0.1) == 2
    assert gated(tiny_model, made_up, tmp_path / "missing.json", "--max-mae-loss", 0.1) == 2


def test_gates_that_mean_nothing(tiny_model: Path, made_up: Path, base: Path) -> None:
    assert gated(tiny_model, made_up, base) == 2
    assert gated(tiny_model, made_up, base, "--max-mae-loss", "nan") == 2
    assert gated(tiny_model, made_up, base, "--max-mae-loss", 0.1, "--protocol", "magicmind") == 2
