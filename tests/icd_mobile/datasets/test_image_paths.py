"""Lists of paths that are made when they are asked for: they must behave as tuples do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd_mobile.datasets.image_paths import JoinedPaths, NumberedPaths

FOLDERS = (Path("refs_50k_0"), Path("refs_50k_1"))
NUMBERED = NumberedPaths("R{:06d}.jpg", np.array([7, 50_000], np.int32), np.array([0, 1], np.int32), FOLDERS)
PLAIN = (Path("refs_50k_0/R000007.jpg"), Path("refs_50k_1/R050000.jpg"))
PARTS = ((Path("a"), Path("b")), (), PLAIN, (Path("c"),))
BOUND = st.none() | st.integers(-8, 8)


def test_paths_are_made_of_their_number_and_folder() -> None:
    assert tuple(NUMBERED) == PLAIN
    assert tuple(NUMBERED[1:]) == PLAIN[1:]
    assert len(NUMBERED) == 2


@given(start=BOUND, stop=BOUND, step=BOUND.filter(lambda step: step != 0))
def test_joined_lists_are_sliced_as_their_tuple_is(start: int | None, stop: int | None, step: int | None) -> None:
    plain = sum(PARTS, ())
    joined = JoinedPaths((PARTS[0], PARTS[1], NUMBERED, PARTS[3]))
    assert tuple(joined[start:stop:step]) == plain[start:stop:step]
    assert (len(joined), tuple(joined)) == (len(plain), plain)


@pytest.mark.parametrize("index", [5, -6])
def test_index_beyond_the_end_is_an_error(index: int) -> None:
    joined = JoinedPaths(PARTS)
    assert (joined[-1], joined[4], joined[0]) == (Path("c"), Path("c"), Path("a"))
    with pytest.raises(IndexError):
        joined[index]
