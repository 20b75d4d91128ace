"""The search, over figures made for it: what is chosen, what is never asked for, and where it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.quantization.plan import QuantizationPlan
from export.quantization.search import Drops, fewest_that_fit, search

OPS = tuple(f"conv2d_{index}" for index in range(10))
ERRORS = {"histogram": 0.05, "minmax": 0.06, "percentile": 0.04, "entropy": 0.9, "mse": 0.045}


class Figures:
    """Each op in float takes its own share off the drop; the later, the more sensitive."""

    ops = OPS

    def __init__(self, drop: float = 0.0, equalising: float = 0.5, correcting: float = 0.5) -> None:
        self.drop, self.equalising, self.correcting = drop, equalising, correcting
        self.judged: list[QuantizationPlan] = []
        self.num_sensitivities = 0

    def error(self, plan: QuantizationPlan) -> float:
        error = ERRORS[plan.estimator]
        error *= self.equalising if plan.equalised else 1
        return error * (self.correcting if plan.bias_corrected else 1)

    def drops(self, plan: QuantizationPlan) -> Drops:
        self.judged.append(plan)
        drop = self.drop - sum(0.001 * OPS.index(name) for name in plan.float_ops)
        return Drops(drop, 2 * drop)

    def sensitivities(self, plan: QuantizationPlan) -> dict[str, float]:
        assert not plan.float_ops
        self.num_sensitivities += 1
        return {name: float(index) for index, name in enumerate(OPS)}


def test_the_estimator_of_the_least_error_is_taken_and_what_helps_is_kept() -> None:
    found = search(Figures(equalising=1.5, correcting=0.5), 0.005)
    assert found.plan == QuantizationPlan("percentile", equalised=False, bias_corrected=True)
    assert found.fits


def test_where_the_first_plan_fits_the_benchmark_is_used_once_and_no_sensitivity_is_measured() -> None:
    figures = Figures(drop=0.004)
    assert search(figures, 0.005).fits
    assert len(figures.judged) == 1
    assert figures.num_sensitivities == 0


def test_the_most_sensitive_ops_go_back_to_float_and_no_more_than_needed() -> None:
    """0.028 - 0.009 - 0.008 = 0.011 is over 0.005, less 0.007 is 0.004: three ops, in the graph's order."""
    found = search(Figures(drop=0.028), 0.005)
    assert found.plan.float_ops == ("conv2d_7", "conv2d_8", "conv2d_9")
    assert found.fits
    assert [len(one.plan.float_ops) for one in found.tried if one.drops] == [0, 1, 2, 4, 3]


def test_a_budget_that_cannot_be_met_ends_at_half_of_the_ops_with_the_best_that_was_seen() -> None:
    found = search(Figures(drop=0.5), 0.005)
    assert not found.fits
    assert len(found.plan.float_ops) == 5
    assert found.drops.drop == pytest.approx(0.5 - 0.035)  # 9 + 8 + 7 + 6 + 5 thousandths


def test_the_cross_drop_has_twice_the_budget_and_counts_as_well() -> None:
    """Both ways have to fit: here the drop is within 0.005 and the cross drop over 0.010 until an op is in float."""

    class Crossed(Figures):
        def drops(self, plan: QuantizationPlan) -> Drops:
            return Drops(0.0, 0.011 if not plan.float_ops else 0.010)

    assert len(search(Crossed(), 0.005).plan.float_ops) == 1


def test_everything_tried_is_told_in_order() -> None:
    told: list[object] = []
    found = search(Figures(drop=0.028), 0.005, told.append)
    assert tuple(told) == found.tried
    assert [one.plan.estimator for one in found.tried[:5]] == ["histogram", "minmax", "percentile", "entropy", "mse"]


def test_a_gain_is_no_drop() -> None:
    assert Drops(-0.01, -0.02).excess(0.0) < 0
    assert Drops(0.0, 0.0).excess(0.0) == 0


@given(st.integers(1, 200), st.integers(0, 200))
def test_the_fewest_that_fit_are_found_where_more_never_fit_worse(needed: int, most: int) -> None:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number >= needed

    assert fewest_that_fit(fits, most) == (needed if needed <= most else None)
    assert len(asked) == len(set(asked))
    assert all(1 <= number <= most for number in asked)
    assert len(asked) <= 2 * max(1, most).bit_length() + 1


def test_a_plan_says_its_recipe_in_one_line() -> None:
    plan = QuantizationPlan("mse", equalised=True, bias_corrected=True, float_ops=("conv2d",))
    assert plan.recipe == (
        "PT2E static W8A8: weights int8 per channel symmetric, activations int8 per tensor affine (mse), equalised, "
        "biases corrected, 1 op in float"
    )
    assert replace(plan, float_ops=("conv2d", "add")).recipe.endswith("2 ops in float")
