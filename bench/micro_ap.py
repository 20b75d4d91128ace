"""micro-AP and its companions, as the Image Similarity Challenge 2021 defines them.

All candidates of all queries are sorted together by score, highest first; inside a tie, negatives come first. Recall
counts every ground-truth pair, also those that were never retrieved.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021, section on evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.errors import InputError

PRECISION_BAR = 0.9
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """C candidates: query, reference and score, each (C,). Ids are indexes."""

    queries: Ints
    references: Ints
    scores: Floats


@dataclass(frozen=True)
class Detection:
    """How well candidates find the ground truth. `threshold_at_p90` is None where precision 0.9 is never reached."""

    micro_ap: float
    recall_at_p90: float
    threshold_at_p90: float | None


def matches(candidates: Candidates, pairs: Ints) -> Bools:
    """(C,) whether each candidate is one of the ground-truth `pairs` (P, 2) of query and reference.

    Raises:
        InputError: the same (query, reference) twice among the candidates or the pairs, or a score that is not finite.
    """
    num_bad = int(np.sum(~np.isfinite(candidates.scores)))
    if num_bad:
        raise InputError(f"{num_bad} candidate scores are not finite; check the descriptors")
    width = 1 + max(candidates.references.max(initial=0), pairs[:, 1].max(initial=0))
    keys = candidates.queries * width + candidates.references
    true_keys = pairs[:, 0] * width + pairs[:, 1]
    for what, values in (("candidate", keys), ("ground-truth pair", true_keys)):
        unique, counts = np.unique(values, return_counts=True)
        if len(unique) < len(values):
            query, reference = divmod(int(unique[counts.argmax()]), int(width))
            raise InputError(f"{what} (query {query}, reference {reference}) comes twice; each may come once")
    return np.isin(keys, true_keys)


def rank(scores: Floats, is_match: Bools) -> Ints:
    """(C,) order of the candidates: by score, highest first, negatives first inside a tie."""
    return np.lexsort((is_match, -scores))


def detection(scores: Floats, is_match: Bools, num_pairs: int) -> Detection:
    """micro-AP, and recall and score at precision 0.9, of candidates in any order.

    Raises:
        ValueError: no ground-truth pair, or fewer pairs than matches.
    """
    if num_pairs < max(1, int(is_match.sum())):
        raise ValueError(f"{num_pairs} ground-truth pairs cannot hold {int(is_match.sum())} matches; give them all")
    order = rank(scores, is_match)
    found = np.cumsum(is_match[order])
    precision = found / np.arange(1, len(order) + 1)
    recall = found / num_pairs
    at_bar = np.flatnonzero(precision >= PRECISION_BAR)
    # Recall never falls, so the first place with the recall of the last one at the bar is where it is largest.
    best = int(at_bar[np.searchsorted(recall[at_bar], recall[at_bar[-1]])]) if len(at_bar) else None
    return Detection(
        micro_ap=float(precision[is_match[order]].sum() / num_pairs),
        recall_at_p90=0.0 if best is None else float(recall[best]),
        threshold_at_p90=None if best is None else float(scores[order[best]]),
    )


def recall_at_k(candidates: Candidates, is_match: Bools, num_pairs: int, k: int) -> float:
    """Share of the ground-truth pairs whose reference is among its query's first `k`; in a tie it comes last."""
    order = np.lexsort((is_match, -candidates.scores, candidates.queries))
    queries = candidates.queries[order]
    starts = np.searchsorted(queries, queries, side="left")
    position = np.arange(len(order)) - starts
    return float((is_match[order] & (position < k)).sum() / num_pairs)


def bootstrap_interval(
    candidates: Candidates, is_match: Bools, pairs: Ints, num_queries: int, num_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of micro-AP over queries drawn with replacement.

    A query drawn n times brings its candidates and its ground-truth pairs n times.
    """
    order = rank(candidates.scores, is_match)
    queries, sorted_match = candidates.queries[order], is_match[order]
    pairs_of_query = np.bincount(pairs[:, 0], minlength=num_queries)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_resamples):
        times = np.bincount(rng.integers(0, num_queries, num_queries), minlength=num_queries)
        hits = np.repeat(sorted_match, times[queries])  # copies stand together, so ties stay in order
        num_pairs = int(times @ pairs_of_query)
        if num_pairs:
            ranks = np.flatnonzero(hits) + 1
            values.append(float((np.arange(1, len(ranks) + 1) / ranks).sum() / num_pairs))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
