"""Mean average precision by the trapezoid rule: the figure that papers print for Copydays and Holidays.

Every query is ranked by itself, and the area under its precision-recall curve is taken with trapezoids: a match at
0-based rank r that is its query's j-th (from 0) adds (j / r + (j + 1) / (r + 1)) / 2 over the number of its pairs,
with j / r read as 1 at rank 0. On Copydays the queries are the copies of one block and the database the originals with
distractors, so that each query has one pair.

Source: Jegou, Douze, Schmid, "Hamming embedding and weak geometric consistency", 2008: the Holidays evaluation.
"""

from __future__ import annotations

import numpy as np

from icd_mobile.arrays import Bools, Ints
from icd_mobile.retrieval.micro_ap import Candidates


def mean_average_precision(candidates: Candidates, is_match: Bools, pairs: Ints) -> float:
    """Mean over the queries of `pairs` (P, 2); negatives first inside a tie; pairs never retrieved add nothing."""
    order = np.lexsort((is_match, -candidates.scores, candidates.queries))
    queries, in_order = candidates.queries[order], is_match[order]
    starts = np.searchsorted(queries, queries, side="left")
    found_before: Ints = np.cumsum(in_order) - in_order
    at = np.flatnonzero(in_order)
    rank = at - starts[at]
    earlier: Ints = found_before[at] - found_before[starts[at]]
    before = np.where(rank > 0, earlier / np.maximum(rank, 1), 1.0)
    area = (before + (earlier + 1) / (rank + 1)) / 2
    pairs_of_query = np.bincount(pairs[:, 0])
    return float((area / pairs_of_query[queries[at]]).sum() / np.count_nonzero(pairs_of_query))
