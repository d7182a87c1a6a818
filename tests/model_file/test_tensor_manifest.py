"""Manifests of models of tensors: other layouts, limits of open axes, no profiles; old ones are read as before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_model_files import manifest_of
from u2forge.errors import ModelError
from u2forge.model_file.manifest import Manifest, ShapeRange
from u2forge.model_file.manifest_json import manifest_from_json, manifest_text, manifest_to_json
from u2forge.pipeline.segmenter import profiles_of
from u2forge.tensor_spec import ARRAY_LAYOUT, TensorSpec

arrays = st.builds(
    TensorSpec,
    name=st.text(),
    shape=st.lists(st.none() | st.integers(1, 9), max_size=6).map(tuple),
    dtype=st.sampled_from(["float32", "float64", "bool", "int64", "uint16"]),
    layout=st.just(ARRAY_LAYOUT),
)


def of_tensors(*specs: TensorSpec, ranges: tuple[ShapeRange, ...] = ()) -> Manifest:
    plain = manifest_of(specs, specs)
    values: dict[str, Any] = {**vars(plain), "pre": None, "post": None, "embedded_preprocessing": False}
    return Manifest(**{**values, "interface": "tensors", "shape_ranges": ranges})


@given(st.lists(arrays, min_size=1, max_size=3, unique_by=lambda spec: spec.name), st.integers(0, 3))
def test_there_and_back(specs: list[TensorSpec], limited: int) -> None:
    ranges = tuple(
        ShapeRange(spec.name, (1,) * len(spec.shape), (9,) * len(spec.shape)) for spec in specs[:limited]
    )
    manifest = of_tensors(*specs, ranges=ranges)
    values = json.loads(manifest_text(manifest_to_json(manifest)))
    assert manifest_from_json(values, where="here") == manifest
    assert ("shape_ranges" in values) == bool(ranges)


SPEC = TensorSpec("x", (1, 3, 4, 4), "float32", "NCHW")


def test_one_of_pictures_is_written_as_ever() -> None:
    assert {"interface", "shape_ranges"}.isdisjoint(manifest_to_json(manifest_of([SPEC], [SPEC])))


@pytest.mark.parametrize(
    ("changes", "wording"),
    [
        ({"pre": "official"}, "manifest.pre: expected NoneType; found official"),
        ({"interface": "sounds"}, "manifest.interface: expected one of pictures, tensors"),
        ({"interface": "pictures"}, "manifest.pre: expected str"),
        ({"shape_ranges": []}, "manifest.shape_ranges: expected 1 to"),
        (
            {"shape_ranges": [{"name": "x", "smallest": [1], "largest": [None]}]},
            "largest: expected sizes of at least 1",
        ),
        (
            {"shape_ranges": [{"name": "y", "smallest": [1] * 4, "largest": [2] * 4}]},
            "shape_ranges: expected of inputs",
        ),
        ({"shape_ranges": [{"name": "x", "smallest": [1], "largest": [2]}]}, "a size for each axis"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], wording: str) -> None:
    values = json.loads(manifest_text({**manifest_to_json(of_tensors(SPEC)), **changes}))
    with pytest.raises(ModelError) as caught:
        manifest_from_json(values, where="here")
    assert wording in str(caught.value)


def test_a_model_of_tensors_has_no_profiles() -> None:
    assert profiles_of(manifest_of([SPEC], [SPEC])) == ("official", "stretch")
    with pytest.raises(
        ModelError, match=r"nothing says what a picture means to it\. To mend: run it with the program"
    ):
        profiles_of(of_tensors(SPEC))


def test_sizes_of_an_array_have_no_names() -> None:
    spec = TensorSpec("x", (), "int64", ARRAY_LAYOUT)
    assert (spec.batch_size, spec.height, spec.width) == (None, None, None)
