"""Exact search by inner product, with FAISS, over references that come in blocks, so that memory grows with a block.

Two searches, as the field has them: the `k` best references of each query (SSCD's evaluator), and the best pairs over
all queries together, ten a query and at most 500,000 (the challenge).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from icd_mobile.arrays import Descriptors, Floats, Ints
from icd_mobile.errors import InputError
from icd_mobile.retrieval.micro_ap import Candidates

UNIT_TOLERANCE = 1e-3
QUERY_TILE, REFERENCE_TILE = 1024, 16_384  # one tile of scores is at most 64 MiB of float32
FIRST_BAR_ROWS = 2048  # references that give the first bar: fewer cost less, and let more pairs past at first
ROUNDING = 1e-5  # how far the same inner product may lie apart in two float32 searches


def nearest(queries: Descriptors, references: Descriptors, k: int) -> Candidates:
    """The `k` most similar references of each query: (Q, D) and (R, D), L2-normalised, to Q * min(k, R) candidates.

    >>> references = np.eye(4, dtype=np.float32)
    >>> nearest(references[:2], references, k=1).references.tolist()
    [0, 1]

    Raises:
        InputError: dimensions differ, or a descriptor is not finite or not of unit length.
    """
    for what, descriptors in (("query", queries), ("reference", references)):
        check_unit(descriptors, what)
    return nearest_in_blocks(queries, [references], k)


def nearest_in_blocks(queries: Descriptors, blocks: Iterable[Descriptors], k: int) -> Candidates:
    """The `k` references of largest inner product with each query (Q, D); `blocks` (n, D) together are the references.

    Candidates come query by query, best first.

    Raises:
        InputError: dimensions differ.
    """
    import faiss

    queries = np.ascontiguousarray(queries, dtype=np.float32)
    best = faiss.ResultHeap(len(queries), k, keep_max=True)
    start = 0
    for block in blocks:
        _check_dims(queries, block)
        rows = np.ascontiguousarray(block, dtype=np.float32)
        scores, found = faiss.knn(queries, rows, min(k, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(scores, found + start)
        start += len(rows)
    best.finalize()
    k = min(k, start)
    return Candidates(
        queries=np.repeat(np.arange(len(queries), dtype=np.int64), k),
        references=best.I[:, :k].reshape(-1).astype(np.int64),
        scores=best.D[:, :k].reshape(-1).astype(np.float64),
    )


def best_pairs(queries: Descriptors, blocks: Callable[[], Iterable[Descriptors]], limit: int) -> Candidates:
    """The `limit` pairs of largest inner product over all queries (Q, D) and references together, best first.

    `blocks()` begins the references anew. A first bar comes from the best pairs of the first few thousand of them and
    can only be too low; each tile is then searched above the bar, which rises as better pairs are found.

    Raises:
        InputError: dimensions differ.
    """
    import faiss

    queries = np.ascontiguousarray(queries, dtype=np.float32)
    bar = _first_bar(queries, next(iter(blocks()))[:FIRST_BAR_ROWS], limit)
    pool: list[Candidates] = []
    num_in_pool, start = 0, 0
    for block in blocks():
        _check_dims(queries, block)
        for offset in range(0, len(block), REFERENCE_TILE):
            index = faiss.IndexFlatIP(queries.shape[1])
            index.add(np.ascontiguousarray(block[offset : offset + REFERENCE_TILE], dtype=np.float32))
            for first in range(0, len(queries), QUERY_TILE):
                tile = queries[first : first + QUERY_TILE]
                limits, scores, found = index.range_search(tile, bar)
                of_query = first + np.repeat(np.arange(len(tile)), (limits[1:] - limits[:-1]).astype(np.int64))
                pool.append(Candidates(of_query, found.astype(np.int64) + start + offset, scores.astype(np.float64)))
                num_in_pool += len(scores)
                if num_in_pool >= 2 * limit:
                    pool, num_in_pool = [_best(pool, limit)], limit
                    # A pair that only ties with the worst that is kept is not needed.
                    bar = max(bar, float(pool[0].scores.min()))
        start += len(block)
    best = _best(pool, limit)
    return _take(best, np.lexsort((best.references, best.queries, -best.scores)))


def _first_bar(queries: Descriptors, references: Descriptors, limit: int) -> float:
    """A score that at least `limit` pairs with these references exceed; the lowest of all where they are too few."""
    per_query = -(-limit // len(queries))
    if per_query > len(references):
        return -float(np.finfo(np.float32).max)
    scores = nearest_in_blocks(queries, [references], per_query).scores
    return float(np.partition(scores, len(scores) - limit)[len(scores) - limit]) - ROUNDING


def _best(pool: list[Candidates], limit: int) -> Candidates:
    """The `limit` best of the pool; of those that tie at the end, the first found."""
    found = Candidates(
        np.concatenate([part.queries for part in pool]),
        np.concatenate([part.references for part in pool]),
        np.concatenate([part.scores for part in pool]),
    )
    if len(found.scores) <= limit:
        return found
    last: float = np.partition(found.scores, len(found.scores) - limit)[len(found.scores) - limit]
    above = np.flatnonzero(found.scores > last)
    tied = np.flatnonzero(found.scores == last)[: limit - len(above)]
    return _take(found, np.concatenate([above, tied]))


def _take(pool: Candidates, which: Ints) -> Candidates:
    return Candidates(pool.queries[which], pool.references[which], pool.scores[which])


def _check_dims(queries: Descriptors, references: Descriptors) -> None:
    if queries.shape[1] != references.shape[1]:
        raise InputError(
            f"queries have {queries.shape[1]} dimensions, references {references.shape[1]}; embed both alike"
        )


def check_unit(descriptors: Descriptors, what: str, first: int = 0) -> None:
    """Refuse descriptors that an inner product would rank wrongly; the first of them is number `first`.

    Raises:
        InputError: one is not finite or not of unit length; the first such row is named.
    """
    lengths: Floats = np.linalg.norm(descriptors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
    if len(bad):
        raise InputError(
            f"{what} descriptor {first + bad[0]} has length {lengths[bad[0]]:.4g} where 1 is needed ({len(bad)} such); "
            "the artifact's output is broken"
        )
