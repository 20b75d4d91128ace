"""micro-AP and its companions, as the Image Similarity Challenge 2021 defines them.

All candidates of all queries are sorted together by score, highest first; inside a tie, negatives come first. Recall
counts every ground-truth pair, also those that were never retrieved.

Nothing here needs the candidates in order: the rank of the j-th match is j plus the number of negatives that score at
least as high, so one plain sort of the scores is enough, and none where they come sorted.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021, section on evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icd_mobile.arrays import Bools, Floats, Ints
from icd_mobile.errors import InputError

PRECISION_BAR = 0.9


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
        in_order = np.sort(values)
        repeated = np.flatnonzero(in_order[1:] == in_order[:-1])
        if len(repeated):
            query, reference = divmod(int(in_order[repeated[0]]), int(width))
            raise InputError(f"{what} (query {query}, reference {reference}) comes twice; each may come once")
    return np.isin(keys, true_keys)


def micro_ap(candidates: Candidates, pairs: Ints) -> float:
    """micro-AP, 0..1, of candidates against ground-truth pairs (P, 2) of query and reference.

    Of two pairs the first is found first, and the second after one wrong candidate: (1 / 1 + 2 / 3) / 2.

    >>> found = Candidates(np.array([0, 1, 1]), np.array([4, 7, 5]), np.array([0.9, 0.8, 0.7]))
    >>> round(micro_ap(found, np.array([[0, 4], [1, 5]])), 3)
    0.833

    Raises:
        ValueError: no pair.
    """
    return detection(candidates.scores, matches(candidates, pairs), len(pairs)).micro_ap


def detection(scores: Floats, is_match: Bools, num_pairs: int) -> Detection:
    """micro-AP, and recall and score at precision 0.9, of candidates in any order.

    Raises:
        ValueError: no ground-truth pair, or fewer pairs than matches.
    """
    found = np.sort(scores[is_match])[::-1]
    if num_pairs < max(1, len(found)):
        raise ValueError(f"{num_pairs} ground-truth pairs cannot hold {len(found)} matches; give them all")
    counts = np.arange(1, len(found) + 1)
    precision = counts / (_negatives_at_least(scores, found) + counts)
    # Between two matches precision only falls and recall stands still: the best point is the last match at the bar.
    at_bar = np.flatnonzero(precision >= PRECISION_BAR)
    return Detection(
        micro_ap=float(precision.sum() / num_pairs),
        recall_at_p90=float(counts[at_bar[-1]] / num_pairs) if len(at_bar) else 0.0,
        threshold_at_p90=float(found[at_bar[-1]]) if len(at_bar) else None,
    )


def _negatives_at_least(scores: Floats, found: Floats) -> Ints:
    """(M,) how many negatives score at least as high as each match; `found` (M,) are the matches' scores, falling."""
    is_sorted = bool(np.all(scores[:-1] >= scores[1:]))
    rising = scores[::-1] if is_sorted else np.sort(scores)
    all_at_least = len(rising) - np.searchsorted(rising, found, side="left")
    found_at_least = len(found) - np.searchsorted(found[::-1], found, side="left")
    return np.asarray(all_at_least - found_at_least, dtype=np.int64)


def recall_at_k(candidates: Candidates, is_match: Bools, num_pairs: int, k: int) -> float:
    """Share of the ground-truth pairs that at most `k` candidates of their query score as high as, itself included.

    A tie thus counts in full against each of its members, also where all of them are matches.
    """
    matched = np.zeros(1 + candidates.queries.max(initial=-1), dtype=bool)
    matched[candidates.queries[is_match]] = True
    kept = matched[candidates.queries]  # the other queries change nothing
    queries, scores, kept_match = candidates.queries[kept], candidates.scores[kept], is_match[kept]
    order = np.lexsort((-scores, queries))
    queries, scores = queries[order], scores[order]
    changes = (queries[1:] != queries[:-1]) | (scores[1:] != scores[:-1])
    tie_ends = np.append(np.flatnonzero(changes), len(order) - 1)
    tie_of = np.concatenate([np.zeros(min(1, len(order)), dtype=np.int64), np.cumsum(changes)])
    ranks = tie_ends[tie_of] + 1 - np.searchsorted(queries, queries, side="left")
    return float((kept_match[order] & (ranks <= k)).sum() / num_pairs)


def accuracy_at_1(candidates: Candidates, is_match: Bools, pairs: Ints) -> float:
    """Share of the queries with a match whose first candidate is one; a negative that ties with it comes first."""
    num_queries = 1 + max(candidates.queries.max(initial=0), pairs[:, 0].max(initial=0))
    best = {of_match: np.full(num_queries, -np.inf) for of_match in (True, False)}
    for of_match, scores in best.items():
        chosen = is_match if of_match else ~is_match
        np.maximum.at(scores, candidates.queries[chosen], candidates.scores[chosen])
    return float(np.mean((best[True] > best[False])[np.unique(pairs[:, 0])]))


def bootstrap_interval(
    candidates: Candidates, is_match: Bools, pairs: Ints, num_queries: int, num_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of micro-AP over queries drawn with replacement."""
    values = resampled_micro_ap(candidates, is_match, pairs, num_queries, num_resamples, seed)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def resampled_micro_ap(
    candidates: Candidates, is_match: Bools, pairs: Ints, num_queries: int, num_resamples: int = 1000, seed: int = 0
) -> Floats:
    """(B,) micro-AP over queries drawn with replacement; the same draws for every artifact judged on the same pairs.

    A query drawn n times brings its candidates and its ground-truth pairs n times. A draw without a pair is left out.
    """
    falling = np.argsort(-candidates.scores, kind="stable")
    negative = falling[~is_match[falling]]
    match = falling[is_match[falling]]
    scores = candidates.scores
    negatives_above = len(negative) - np.searchsorted(scores[negative][::-1], scores[match], side="left")
    # A negative below every match changes nothing.
    negative_queries = candidates.queries[negative[: negatives_above.max(initial=0)]]
    drawn_above = np.zeros(1 + len(negative_queries), dtype=np.int32)  # written anew for each resample
    match_queries = candidates.queries[match]
    pairs_of_query = np.bincount(pairs[:, 0], minlength=num_queries)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_resamples):
        times = np.bincount(rng.integers(0, num_queries, num_queries), minlength=num_queries)
        num_pairs = int(times @ pairs_of_query)
        if num_pairs:
            np.cumsum(times.astype(np.int32)[negative_queries], out=drawn_above[1:])
            num_negatives = np.repeat(drawn_above[negatives_above], times[match_queries])
            counts = np.arange(1, len(num_negatives) + 1)
            values.append(float((counts / (num_negatives + counts)).sum() / num_pairs))
    return np.array(values)
