"""The few worst pictures, found in one pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from u2forge.evaluate.worst_pictures import WorstPictures


@given(st.lists(st.integers(0, 5), max_size=40))
def test_they_are_those_of_a_full_sort(errors: list[int]) -> None:
    worst = WorstPictures(4)
    inside: set[str] = set()
    for position, error in enumerate(errors):
        leaving = worst.add(error, position, str(position))
        inside.add(str(position))
        if leaving is not None:
            inside.remove(leaving)
    expected = sorted(range(len(errors)), key=lambda position: (-errors[position], position))[:4]
    assert [one.name for one in worst.ranked()] == [str(position) for position in expected]
    assert inside == {str(position) for position in expected}
