"""Range estimators: from the histogram of a tensor's values to the range that its 8 bits span.

A range always holds 0, as the affine scheme asks for: padding and ReLU have to be exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Range = tuple[float, float]

LEVELS = 256
KEPT_PERCENT = 99.99  # what `percentile` keeps of all values
_LEAST_PROBABILITY = 1e-4  # of a bin that only what was clipped falls into; as MXNet's calibrator has it
_SHRINKAGES = np.linspace(0.2, 1.0, 41)


def minmax(_counts: Floats, low: float, high: float) -> Range:
    """All that was seen."""
    return min(low, 0.0), max(high, 0.0)


def percentile(counts: Floats, low: float, high: float) -> Range:
    """The central 99.99 % of the values, half of the rest cut off at either end; `counts` (B,) over low..high."""
    tail = counts.sum() * (1 - KEPT_PERCENT / 100) / 2
    edges = np.linspace(low, high, len(counts) + 1)
    below = np.concatenate([[0.0], np.cumsum(counts)])
    cut_low, cut_high = np.interp([tail, below[-1] - tail], below, edges)
    return minmax(counts, float(cut_low), float(cut_high))


def mse(counts: Floats, low: float, high: float) -> Range:
    """The range of least mean squared rounding and clipping error, over 41 shrinkages of each end.

    Source: Banner et al., "Post training 4-bit quantization of convolutional networks for rapid-deployment", 2019
    (the error that is minimised; a search takes the place of their closed form).
    """
    seen = counts > 0
    values, weights = _centres(counts, low, high)[seen], counts[seen]
    low, high = minmax(counts, low, high)
    lows, highs = (np.unique(end * _SHRINKAGES) for end in (low, high))
    best, least = (low, high), np.inf
    for one_low in lows:
        ranges = np.stack([np.full_like(highs, one_low), highs], axis=1)
        errors = _squared_errors(values, weights, ranges)
        index = int(np.argmin(errors))
        if errors[index] < least:
            best, least = (float(one_low), float(highs[index])), float(errors[index])
    return best


def _squared_errors(values: Floats, weights: Floats, ranges: Floats) -> Floats:
    """(R,) weighted squared error of quantising values (V,) in each of the ranges (R, 2)."""
    scales = np.maximum((ranges[:, 1:] - ranges[:, :1]) / (LEVELS - 1), np.finfo(np.float32).tiny)
    zeros = np.round(-ranges[:, :1] / scales)
    levels = np.clip(np.round(values / scales) + zeros, 0, LEVELS - 1)
    errors: Floats = ((levels - zeros) * scales - values) ** 2 @ weights
    return errors


def entropy(counts: Floats, low: float, high: float) -> Range:
    """The range whose 256 levels keep most of the distribution: least KL divergence, over 41 shrinkages of both ends.

    The bin that holds 0 is left out: every range gives 0 exactly, and after a ReLU it holds most of what was seen.

    Source: Migacz, "8-bit inference with TensorRT", 2017.
    """
    centres = _centres(counts, low, high)
    counts = np.where(np.abs(centres) <= (high - low) / len(counts) / 2, 0.0, counts)
    low, high = minmax(counts, low, high)
    divergences = [_divergence(counts, centres, low * share, high * share) for share in _SHRINKAGES]
    share = float(_SHRINKAGES[int(np.argmin(divergences))])
    return low * share, high * share


def _divergence(counts: Floats, centres: Floats, low: float, high: float) -> float:
    """KL from the values clipped to low..high to those put on 256 levels and spread evenly over each level's bins."""
    inside = (centres >= low) & (centres <= high)
    if not inside.any() or high <= low:
        return np.inf
    kept = counts[inside]
    clipped = kept.copy()
    clipped[0] += counts[centres < low].sum()
    clipped[-1] += counts[centres > high].sum()
    level = np.minimum(((centres[inside] - low) / (high - low) * LEVELS).astype(np.int64), LEVELS - 1)
    seen = kept > 0
    mass = np.bincount(level, weights=kept, minlength=LEVELS)
    num_seen = np.bincount(level, weights=seen, minlength=LEVELS)
    spread = np.where(seen, mass[level] / np.maximum(num_seen[level], 1), 0.0)
    if not spread.any():
        return np.inf
    p, q = clipped / clipped.sum(), np.maximum(spread / spread.sum(), _LEAST_PROBABILITY)
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def _centres(counts: Floats, low: float, high: float) -> Floats:
    edges = np.linspace(low, high, len(counts) + 1)
    centres: Floats = (edges[:-1] + edges[1:]) / 2
    return centres


FROM_HISTOGRAM: dict[str, Callable[[Floats, float, float], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
