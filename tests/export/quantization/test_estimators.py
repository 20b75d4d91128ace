"""Range estimators, on histograms whose answer is worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.quantization.estimators import FROM_HISTOGRAM, entropy, minmax, mse, percentile
from export.quantization.plan import ESTIMATORS, HISTOGRAM


def counts_of(**bins: float) -> np.ndarray:
    """100 bins, `b7=3.0` puts 3 into bin 7."""
    counts = np.zeros(100)
    for name, count in bins.items():
        counts[int(name[1:])] = count
    return counts


def test_every_estimator_of_a_plan_is_here_or_is_torchao_s_own() -> None:
    assert set(ESTIMATORS) == {HISTOGRAM, *FROM_HISTOGRAM}


def test_minmax_is_all_that_was_seen_and_zero() -> None:
    assert minmax(counts_of(), -1.5, 2.0) == (-1.5, 2.0)
    assert minmax(counts_of(), 0.5, 2.0) == (0.0, 2.0)
    assert minmax(counts_of(), -2.0, -0.5) == (-2.0, 0.0)


def test_percentile_cuts_half_of_a_hundredth_of_a_percent_at_either_end() -> None:
    """10,000 values spread evenly over -1..1 lose half a value at either end: 0.5 / 10,000 of the width of 2."""
    low, high = percentile(np.full(100, 100.0), -1.0, 1.0)
    assert low == pytest.approx(-1 + 1e-4)
    assert high == pytest.approx(1 - 1e-4)


def test_percentile_leaves_out_a_lone_outlier() -> None:
    """One value of 100,000 at 100, the rest below 1 (bin 0 of 100): the cut of 5 values lies in bin 0."""
    low, high = percentile(counts_of(b0=99_999.0, b99=1.0), 0.0, 100.0)
    assert low == 0.0 or low < 1e-4
    assert high == pytest.approx(1.0, abs=1e-3)


def test_mse_keeps_a_range_that_256_levels_fill() -> None:
    """Half a level of rounding everywhere is less than clipping a hundredth of evenly spread values would cost."""
    low, high = mse(np.full(100, 1.0), 0.0, 1.0)
    assert (low, high) == (0.0, 1.0)


def test_mse_clips_a_rare_outlier() -> None:
    """One of a million values ten times as far as the rest: with the whole range a level is 10 / 255 wide and rounding
    costs 1e6 * (10 / 255)^2 / 12 = 128; cut at 2 it costs a 25th of that, and the outlier (10 - 2)^2 = 64.
    """
    counts = np.zeros(1000)
    counts[:100] = 10_000.0
    counts[-1] = 1.0
    _, high = mse(counts, 0.0, 10.0)
    assert 1.9 <= high < 10.0


def test_entropy_keeps_what_is_evenly_spread() -> None:
    """Every level holds the same number of bins of the same count: nothing is lost, and every cut would lose."""
    low, high = entropy(np.full(1024, 1.0), 0.0, 1.0)
    assert (low, high) == (0.0, 1.0)


def test_entropy_is_not_misled_by_the_zeros_behind_a_relu() -> None:
    """0 is exact whatever the range, so that a million of them change nothing."""
    counts = np.full(1024, 1.0)
    counts[0] = 1e6
    assert entropy(counts, 0.0, 1.0) == (0.0, 1.0)


def test_entropy_cuts_off_a_far_and_thin_tail() -> None:
    """1,000 values below 1 in an uneven pattern and one at 32: with the whole range a level is 8 bins wide and
    evens the pattern out, with a fifth of it the levels tell it apart.
    """
    counts = np.zeros(2048)
    counts[:64] = np.where(np.arange(64) % 2 == 0, 30.0, 1.0)
    counts[-1] = 1.0
    _, high = entropy(counts, 0.0, 32.0)
    assert high < 32.0


@given(
    st.lists(st.floats(0, 1000), min_size=8, max_size=64),
    st.floats(-10, 10),
    st.floats(0.01, 10),
    st.sampled_from(sorted(FROM_HISTOGRAM)),
)
def test_a_range_holds_zero_and_lies_within_what_was_seen(
    counts: list[float], low: float, width: float, name: str
) -> None:
    high = low + width
    found_low, found_high = FROM_HISTOGRAM[name](np.array(counts), low, high)
    assert min(low, 0.0) <= found_low <= 0.0 <= found_high <= max(high, 0.0)
    assert np.isfinite([found_low, found_high]).all()


@pytest.mark.parametrize("name", sorted(FROM_HISTOGRAM))
def test_a_tensor_that_is_all_zero_has_the_range_zero(name: str) -> None:
    assert FROM_HISTOGRAM[name](counts_of(b0=10.0), 0.0, 0.0) == (0.0, 0.0)
