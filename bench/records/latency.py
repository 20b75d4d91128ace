"""How long a latency pass lasts, and what its raw samples say: percentiles and validity flags.

Source of the method: MLPerf Inference rules, single stream (the next query when the last ends; at least 1024 queries
and 60 s), of which `full` is the whole and the other presets are shorter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icd_mobile.errors import unknown_name

SPREAD_STDEV, SPREAD_EXTREME = 0.10, 0.50  # of the mean
THROTTLE_WINDOW_S = 10.0
THROTTLE_RATIO = 1.10  # our own bar: a tenth slower at the end than at the start


@dataclass(frozen=True)
class Preset:
    """Minimum count and seconds, both to be met, and the seconds after which a pass ends all the same."""

    name: str
    min_count: int
    min_s: float
    limit_s: float


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("full", min_count=1024, min_s=60.0, limit_s=600.0),
        Preset("quick", min_count=128, min_s=10.0, limit_s=60.0),
        Preset("smoke", min_count=64, min_s=6.0, limit_s=30.0),
    )
}


def find_preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        InputError: no such preset.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile, 0 <= q <= 100: always a value that was measured.

    Source: MLPerf Inference rules, single stream.

    Raises:
        ValueError: no values, or `q` out of range.
    """
    if not values or not 0 <= q <= 100:
        raise ValueError(f"a percentile needs values and 0 <= q <= 100, got {len(values)} values and q={q}")
    rank = max(1, math.ceil(q / 100 * len(values)))
    return sorted(values)[rank - 1]


def validity_flags(samples_ns: Sequence[int], preset: Preset) -> tuple[str, ...]:
    """What is wrong with a run, each in one phrase; none means valid. A run with a flag is reported, never averaged."""
    values = np.asarray(samples_ns, dtype=np.float64)
    total_s = float(values.sum()) / 1e9
    mean = float(values.mean())
    flags = []
    # The last sample may end a hair before the clock that stopped the pass.
    if len(values) < preset.min_count or total_s < 0.99 * preset.min_s:
        flags.append(
            f"minimum not met: {len(values)} of {preset.min_count} samples, {total_s:.1f} of {preset.min_s:.0f} s"
        )
    if values.std() >= SPREAD_STDEV * mean:
        flags.append(f"spread: standard deviation {values.std() / mean:.0%} of the mean")
    elif values.min() <= (1 - SPREAD_EXTREME) * mean or values.max() >= (1 + SPREAD_EXTREME) * mean:
        flags.append(f"spread: {values.min() / mean:.2f} to {values.max() / mean:.2f} of the mean")
    ratio = throttle_ratio(samples_ns)
    if ratio is not None and ratio >= THROTTLE_RATIO:
        flags.append(f"throttled: the last {THROTTLE_WINDOW_S:.0f} s ran {ratio:.2f} times as long as the first")
    return tuple(flags)


def throttle_ratio(samples_ns: Sequence[int]) -> float | None:
    """p50 of the last 10 s over p50 of the first 10 s; None for a run too short to hold both apart."""
    ends_s = np.cumsum(np.asarray(samples_ns, dtype=np.float64)) / 1e9
    if len(ends_s) == 0 or ends_s[-1] < 2 * THROTTLE_WINDOW_S:
        return None
    first = [value for value, end in zip(samples_ns, ends_s, strict=True) if end <= THROTTLE_WINDOW_S]
    last = [value for value, end in zip(samples_ns, ends_s, strict=True) if end > ends_s[-1] - THROTTLE_WINDOW_S]
    if not first:
        return None
    return percentile(last, 50) / percentile(first, 50)
