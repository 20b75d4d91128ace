"""The search for a plan that keeps micro-AP: cheap descriptor errors choose, the validation benchmark confirms.

1. Range estimators, by the mean error of the descriptors of some images; then equalisation and bias correction, each
   kept where it makes that error smaller.
2. Micro-AP on the validation benchmark, in two ways: int8 against int8, and int8 queries against fp32 references.
3. Where a drop is over its budget, the most sensitive ops back to float: one, two, four, ... until the drops fit, then
   back by halves to the fewest that do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from export.quantization.plan import ESTIMATORS, QuantizationPlan

CROSS_ALLOWANCE = 2  # the cross drop may be this many times the budget
MAX_FLOAT_SHARE = 0.5  # of the ops: with more of them in float, int8 is no longer what was asked for


@dataclass(frozen=True)
class Drops:
    """fp32's micro-AP less int8's, and less that of int8 queries against fp32 references."""

    drop: float
    cross_drop: float

    def excess(self, max_drop: float) -> float:
        """How far over the budget the worse of the two is; at most 0 where both fit."""
        return max(self.drop - max_drop, self.cross_drop - CROSS_ALLOWANCE * max_drop)


class Evaluator(Protocol):
    """What the search asks of the quantised student."""

    @property
    def ops(self) -> tuple[str, ...]:
        """Names of the ops that can be int8, in the order they run."""

    def error(self, plan: QuantizationPlan) -> float:
        """Mean 1 - cosine of the descriptors to fp32's, over some images."""

    def drops(self, plan: QuantizationPlan) -> Drops:
        """On the whole validation benchmark."""

    def sensitivities(self, plan: QuantizationPlan) -> dict[str, float]:
        """Error of each op alone in int8, by name."""


@dataclass(frozen=True)
class Tried:
    """A plan with what was found of it; `drops` is None where its error alone ruled it out."""

    plan: QuantizationPlan
    error: float
    drops: Drops | None


@dataclass(frozen=True)
class Found:
    """The best plan, whether it keeps the budget, and everything that was tried, in order."""

    plan: QuantizationPlan
    drops: Drops
    fits: bool
    tried: tuple[Tried, ...]


OnTried = Callable[[Tried], None]


def search(evaluator: Evaluator, max_drop: float, on_tried: OnTried = lambda _tried: None) -> Found:
    """The plan with the fewest ops in float that the search finds to fit, or the one that comes closest."""
    tried: list[Tried] = []

    def note(plan: QuantizationPlan, judged: bool) -> Tried:
        one = Tried(plan, evaluator.error(plan), evaluator.drops(plan) if judged else None)
        tried.append(one)
        on_tried(one)
        return one

    best = _least_error(note)
    judged = [note(best.plan, judged=True)]

    def fits(num_float: int) -> bool:
        judged.append(note(replace(best.plan, float_ops=_most_sensitive(num_float)), judged=True))
        return _excess(judged[-1], max_drop) <= 0

    def _most_sensitive(number: int) -> tuple[str, ...]:
        lost = evaluator.sensitivities(best.plan)
        chosen = set(sorted(evaluator.ops, key=lambda name: -lost[name])[:number])
        return tuple(name for name in evaluator.ops if name in chosen)

    if _excess(judged[0], max_drop) > 0:
        fewest_that_fit(fits, int(len(evaluator.ops) * MAX_FLOAT_SHARE))
    fitting = [one for one in judged if _excess(one, max_drop) <= 0]
    chosen = (
        min(fitting, key=lambda one: len(one.plan.float_ops))
        if fitting
        else min(judged, key=lambda one: _excess(one, max_drop))
    )
    assert chosen.drops is not None
    return Found(chosen.plan, chosen.drops, bool(fitting), tuple(tried))


def _least_error(note: Callable[[QuantizationPlan, bool], Tried]) -> Tried:
    best = min((note(QuantizationPlan(estimator), False) for estimator in ESTIMATORS), key=lambda one: one.error)
    best = min(best, note(replace(best.plan, equalised=True), False), key=lambda one: one.error)
    return min(best, note(replace(best.plan, bias_corrected=True), False), key=lambda one: one.error)


def _excess(one: Tried, max_drop: float) -> float:
    assert one.drops is not None
    return one.drops.excess(max_drop)


def fewest_that_fit(fits: Callable[[int], bool], most: int) -> int | None:
    """The least number from 1 to `most` that fits, found by doubling and then halving; None where none is found.

    Right where more always fit no worse; otherwise a number that fits, with one less that was seen not to.
    """
    low, high = 0, 1
    while high <= most and not fits(high):
        low, high = high, min(2 * high, most) if high < most else most + 1
    if high > most:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
