"""Status, Dims and DataType."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import u2forge.magicmind as mm
from u2forge.errors import InputError, ModelError, U2ForgeError
from u2forge.magicmind.data_types import data_type_of, graph_type
from u2forge.magicmind.dims import dims_of, shape_of
from u2forge.magicmind.status import failed


def test_a_status_says_what_it_is() -> None:
    end = mm.Status(mm.Code.OUT_OF_RANGE, "no more")
    assert mm.Status.OK().ok()
    assert not end.ok()
    assert (bool(mm.Status.OK()), bool(end)) == (True, False)
    assert (end.code, end.message, str(end)) == (mm.Code.OUT_OF_RANGE, "no more", "OUT_OF_RANGE: no more")
    assert end == mm.Status(mm.Code.OUT_OF_RANGE, "no more") != mm.Status.OK()


def test_a_status_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"write mm\.Code\.OUT_OF_RANGE"):
        mm.Status(11)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "code"), [(InputError, mm.Code.INVALID_ARGUMENT), (ModelError, mm.Code.DATA_LOSS)]
)
def test_an_error_becomes_a_status_and_is_logged(
    kind: type[U2ForgeError], code: mm.Code, caplog: pytest.LogCaptureFixture
) -> None:
    status = failed(kind(where="here", expected="a", found="b", fix="mend it"))
    assert (status.code, status.message) == (code, "here: expected a; found b. To mend: mend it.")
    assert str(status) in caplog.text


@given(st.lists(st.one_of(st.none(), st.integers(1, 9)), max_size=6))
def test_dims_are_shapes_with_minus_one(shape: list[int | None]) -> None:
    dims = dims_of(shape)
    assert shape_of(dims) == tuple(shape)
    assert dims.GetDims() == [-1 if size is None else size for size in shape] == list(dims)
    assert [dims.GetDimValue(index) for index in range(len(dims))] == dims.GetDims()
    assert dims == mm.Dims(dims) == tuple(dims)


@pytest.mark.parametrize("sizes", [(0, 3), (1, -2), (1.5, 2), "ab", 3, (None,)])
def test_other_sizes_are_refused(sizes: object) -> None:
    with pytest.raises(InputError, match=r"sizes of at least 1, or -1 for an open axis.*write mm\.Dims"):
        mm.Dims(sizes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", mm.DataType)
def test_every_type_has_a_numpy_type(kind: mm.DataType) -> None:
    found = np.dtype(mm.get_numpy_dtype_by_datatype(kind)).name
    assert kind.value.endswith(found)
    if kind in (mm.DataType.QINT8, mm.DataType.QINT16):
        with pytest.raises(InputError, match="choose a qint precision_mode"):
            graph_type(kind, where="here")
    else:
        assert data_type_of(found) is kind
        assert graph_type(kind, where="here").numpy().name == found


def test_what_is_no_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"DataType\.FLOAT32"):
        mm.get_numpy_dtype_by_datatype("float32")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="type64to32_conversion"):
        data_type_of("float64")
