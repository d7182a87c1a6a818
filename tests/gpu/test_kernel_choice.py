"""Which kernel computes a step: the fastest that agrees with the library, kept for one GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from small_networks import TINY, random_arrays
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import lower
from u2forge.native.plan import Kind
from u2forge.passes.recipes import offline_graph

torch = pytest.importorskip("torch")

from u2forge.gpu import choose_kernels as choosing  # noqa: E402
from u2forge.gpu.choose_kernels import choose_kernels, chosen_kernels  # noqa: E402
from u2forge.gpu.fused_network import FusedNetwork  # noqa: E402
from u2forge.gpu.kernel_choice import KernelChoice, choice_file, read_choice, write_choice  # noqa: E402
from u2forge.gpu.placed_step import PlacedStep  # noqa: E402
from u2forge.gpu.pytorch_steps import library_step  # noqa: E402
from u2forge.gpu.step_alternatives import JOINED, step_alternatives  # noqa: E402

pytestmark = pytest.mark.needs_torch

Run = Callable[[], None]


@pytest.fixture
def network() -> FusedNetwork:
    options: dict[str, Any] = {"precision": "force_float32", "embed_preprocessing": False}
    model = graph_from_arrays(TINY, random_arrays(TINY, batch_norm=True))
    model = offline_graph(model, outputs="d0", batch_size=None, height=32, width=32, **options)
    return FusedNetwork(lower(model), device=torch.device("cpu"), dtype=torch.float32, batch_size=1)


@pytest.fixture
def alternatives(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[PlacedStep], Run]]:
    """What stands for kernels: by name, how a convolution is computed."""
    found: dict[str, Callable[[PlacedStep], Run]] = {}

    def step_alternatives(step: PlacedStep) -> dict[str, Callable[[], Run]]:
        ways = {"library": library_step} | (found if step.kind is Kind.CONVOLUTION else {})
        return {name: lambda prepare=prepare: prepare(step) for name, prepare in ways.items()}  # type: ignore[misc]

    monkeypatch.setattr(choosing, "step_alternatives", step_alternatives)
    return found


def marked(milliseconds: float, prepare: Callable[[PlacedStep], Run]) -> Callable[[PlacedStep], Run]:
    """The same, for a clock that looks at the mark."""

    def prepared(step: PlacedStep) -> Run:
        inner = prepare(step)

        def run() -> None:
            inner()

        run.milliseconds = milliseconds  # type: ignore[attr-defined]
        return run

    return prepared


def clock(run: Run) -> float:
    return float(getattr(run, "milliseconds", 10))


def wrong(step: PlacedStep) -> Run:
    run = library_step(step)

    def one_channel_too_large() -> None:
        run()
        step.target[:, -1] += 1

    return one_channel_too_large


def incomplete(step: PlacedStep) -> Run:
    return lambda: None


def failing(step: PlacedStep) -> Run:
    raise RuntimeError("out of registers")


def chosen(choice: KernelChoice, network: FusedNetwork) -> set[str]:
    return {choice.by_shape[step.shape] for step in network.steps if step.kind is Kind.CONVOLUTION}


def test_the_fastest_that_agrees_is_chosen(network: FusedNetwork, alternatives: dict[str, Any]) -> None:
    alternatives["slow"] = marked(11, library_step)
    alternatives["fast"] = marked(8, library_step)
    alternatives["wrong"] = marked(1, wrong)
    alternatives["incomplete"] = marked(1, incomplete)
    alternatives["failing"] = failing
    choice = choose_kernels(network, clock=clock)
    assert chosen(choice, network) == {"fast"}
    assert set(choice.by_shape) == {step.shape for step in network.steps}
    assert set(choice.by_shape.values()) == {"fast", "library"}


def test_why_none_of_ours_is_taken_is_said(
    network: FusedNetwork, alternatives: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    alternatives["failing"] = failing
    alternatives["wrong"] = wrong
    with caplog.at_level(logging.WARNING, "u2forge"):
        choose_kernels(network, clock=clock)
    shapes = {step.shape for step in network.steps if step.kind is Kind.CONVOLUTION}
    assert f"{2 * len(shapes)} others were passed over, first failing for convolution 1×" in caplog.text
    assert caplog.text.count("out of registers") == 1
    caplog.clear()
    alternatives["fast"] = marked(1, library_step)
    choose_kernels(network, clock=clock)
    assert not caplog.text


def test_the_library_stays_where_nothing_is_clearly_faster(
    network: FusedNetwork, alternatives: dict[str, Any]
) -> None:
    alternatives["as fast"] = marked(9.9, library_step)
    assert chosen(choose_kernels(network, clock=clock), network) == {"library"}


def test_known_shapes_are_not_measured_again(network: FusedNetwork, alternatives: dict[str, Any]) -> None:
    alternatives["failing"] = failing
    known = KernelChoice({step.shape: "known" for step in network.steps})
    assert choose_kernels(network, clock=failing, known=known) == known  # type: ignore[arg-type]


@dataclass(frozen=True)
class _OnGpu:
    """A tensor that says it lies on a GPU."""

    tensor: Any
    device = torch.device("cuda")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tensor, name)


def test_a_gpu_has_the_librarys_joined_convolutions_too(
    network: FusedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_kernel(
        x: Any, weight: Any, bias: Any, strides: Any, padding: Any, dilations: Any, groups: int
    ) -> Any:
        return torch.relu(torch.conv2d(x, weight, bias, strides, padding, dilations, groups))

    monkeypatch.setattr(torch.ops.aten, "cudnn_convolution_relu", one_kernel)
    rectified = (Kind.CONVOLUTION, Kind.FIRST_CONVOLUTION)
    assert {step.residual is not None for step in network.steps if step.kind in rectified} == {False, True}
    assert any(step.pooled is not None for step in network.steps)
    for step in network.steps:
        step.source.copy_(torch.rand(step.source.shape, generator=torch.Generator().manual_seed(1)))
        library_step(step)()
        expected = [tensor.clone() for tensor in (step.target, step.pooled) if tensor is not None]
        on_gpu = replace(step, source=_OnGpu(step.source))
        joined = step_alternatives(on_gpu).get(JOINED)
        assert (joined is not None) == (step.kind in rectified)
        assert JOINED not in step_alternatives(step)
        if joined is None:
            continue
        step.target.fill_(torch.nan)
        joined()()
        for tensor, wanted in zip((step.target, step.pooled), expected, strict=False):
            torch.testing.assert_close(tensor, wanted)


def test_a_processor_has_the_library(network: FusedNetwork) -> None:
    assert choose_kernels(network) == KernelChoice()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def place(folder: Path, **others: Any) -> Path:
    options: dict[str, Any] = {"device": torch.device("cuda"), "dtype": torch.float16, "batch_size": 1}
    return choice_file(folder, **options | others)


@pytest.mark.usefixtures("card")
def test_choices_are_kept_for_one_card_type_and_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [place(tmp_path), place(tmp_path, dtype=torch.bfloat16), place(tmp_path, batch_size=8)]
    for allowed in (True, False):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
            places.append(place(tmp_path, dtype=torch.float32))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another card")
    places.append(place(tmp_path))
    assert len(set(places)) == len(places)


@pytest.mark.usefixtures("card")
def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = place(tmp_path / "new")
    choice = KernelChoice({"convolution 1×3": "rows 64×16"})
    write_choice(path, choice)
    assert read_choice(path) == choice


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"by_shape": 1}', '{"by_shape": {"a": "b"}'])
def test_a_file_that_is_no_choice_counts_as_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "kernels.json"
    if text is not None:
        path.write_text(text)
    assert read_choice(path) is None


@pytest.mark.usefixtures("card")
def test_what_is_kept_is_measured_for_missing_shapes_only(
    network: FusedNetwork, alternatives: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Run] = []

    def counting(network: FusedNetwork, *, known: KernelChoice | None) -> KernelChoice:
        def counted(run: Run) -> float:
            measured.append(run)
            return clock(run)

        return choose_kernels(network, clock=counted, known=known)

    monkeypatch.setattr(choosing, "choose_kernels", counting)
    alternatives["fast"] = marked(1, library_step)
    first = chosen_kernels(network, tmp_path)
    assert chosen(first, network) == {"fast"}
    (path,) = tmp_path.iterdir()
    count = len(measured)
    assert chosen_kernels(network, tmp_path) == first
    assert len(measured) == count
    shape = next(step.shape for step in network.steps if step.kind is Kind.CONVOLUTION)
    write_choice(path, KernelChoice({key: name for key, name in first.by_shape.items() if key != shape}))
    assert chosen_kernels(network, tmp_path) == first
    assert len(measured) == count + 2


@pytest.mark.usefixtures("card")
def test_a_folder_that_takes_no_files_is_no_error(
    network: FusedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    measured = KernelChoice({"convolution": "library"})
    monkeypatch.setattr(choosing, "choose_kernels", lambda network, known: measured)
    assert chosen_kernels(network, tmp_path / "file" / "folder") is measured
