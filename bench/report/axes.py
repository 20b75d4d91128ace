"""Axes for the report's charts: from a value to a coordinate, and the round values to mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOG_FROM_RATIO = 20.0


@dataclass(frozen=True)
class Axis:
    """Values `low`..`high` on coordinates `start`..`end`, which may run backwards; logarithmic if `is_log`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the range: 1, 2, 5 of each decade, or about five even steps."""
        if self.is_log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            candidates = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
            return [tick for tick in candidates if self.low <= tick <= self.high]
        raw = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    @property
    def kind(self) -> str:
        """How to read it."""
        return "log scale" if self.is_log else "linear scale"


def time_axis(values_ms: Sequence[float], start: float, end: float, log_from_ratio: float = LOG_FROM_RATIO) -> Axis:
    """An axis for durations: from zero, or logarithmic where they span more than a linear one can show."""
    low, high = min(values_ms), max(values_ms)
    if high > log_from_ratio * low > 0:
        return Axis(low / 1.3, high * 1.3, start, end, is_log=True)
    return Axis(0.0, max(high, 1e-6) * 1.08, start, end)
