"""What an index learns from: an even share of the training descriptors, whatever the blocks they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd_mobile.retrieval import approximate


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), limit=st.integers(2, 50))
def test_training_rows_are_evenly_spaced_and_within_the_limit(sizes: list[int], limit: int) -> None:
    num_rows = sum(sizes)
    rows = np.arange(num_rows, dtype=np.float32)[:, None]
    blocks = np.split(rows, np.cumsum(sizes)[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "MAX_TRAINING_ROWS", limit)
        kept = approximate._sample(blocks)[:, 0]
    step = 1
    while -(-num_rows // step) > limit:
        step *= 2
    np.testing.assert_array_equal(kept, np.arange(0, num_rows, step))
