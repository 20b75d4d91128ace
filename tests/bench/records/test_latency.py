"""Percentiles and validity flags; expected values worked by hand."""

from __future__ import annotations

import pytest

from bench.records.latency import PRESETS, Preset, find_preset, percentile, throttle_ratio, validity_flags
from icd_mobile.errors import InputError

LAX = Preset("lax", min_count=1, min_s=0.0, limit_s=1.0)


def test_presets_are_those_of_the_method() -> None:
    assert {name: (preset.min_count, preset.min_s) for name, preset in PRESETS.items()} == {
        "full": (1024, 60.0),
        "quick": (128, 10.0),
        "smoke": (64, 6.0),
    }


def test_unknown_preset_suggests_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'smoke'"):
        find_preset("smok")


@pytest.mark.parametrize(("q", "expected"), [(0, 15), (5, 15), (30, 20), (40, 20), (50, 35), (90, 50), (100, 50)])
def test_percentile_is_the_nearest_rank(q: float, expected: float) -> None:
    # The worked example of the nearest-rank method on five values: 15 20 35 40 50.
    assert percentile([50, 15, 40, 20, 35], q) == expected


@pytest.mark.parametrize(("values", "q"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_percentile_refuses_no_values_and_bad_ranks(values: list[float], q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, q)


def test_steady_run_that_met_its_minimum_has_no_flag() -> None:
    assert validity_flags([10_000_000] * 700, PRESETS["smoke"]) == ()


def test_too_few_samples_and_too_few_seconds_are_flagged() -> None:
    assert "minimum not met: 10 of 64 samples, 10.0 of 6 s" in validity_flags([10**9] * 10, PRESETS["smoke"])
    assert "minimum not met: 100 of 64 samples, 1.0 of 6 s" in validity_flags([10**7] * 100, PRESETS["smoke"])


def test_wide_spread_is_flagged() -> None:
    # Mean 10, standard deviation 2: a fifth of the mean.
    assert validity_flags([8, 12] * 10, LAX) == ("spread: standard deviation 20% of the mean",)


def test_one_far_value_is_flagged_though_the_deviation_is_small() -> None:
    # 199 times 100 and once 160: mean 100.3, deviation 4.2, the last 1.6 of the mean.
    assert validity_flags([100] * 199 + [160], LAX) == ("spread: 1.00 to 1.60 of the mean",)


def test_slowing_down_is_flagged() -> None:
    # 100 samples of 100 ms, then 100 of 120 ms: 10 s and 12 s.
    samples = [100_000_000] * 100 + [120_000_000] * 100
    assert throttle_ratio(samples) == pytest.approx(1.2)
    assert "throttled: the last 10 s ran 1.20 times as long as the first" in validity_flags(samples, LAX)


def test_run_too_short_for_two_windows_has_no_throttle_ratio() -> None:
    assert throttle_ratio([100_000_000] * 150) is None
    assert throttle_ratio([25 * 10**9]) is None
