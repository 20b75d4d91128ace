"""Exact nearest-neighbour search by inner product, with FAISS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.micro_ap import Candidates
from distill.errors import InputError

UNIT_TOLERANCE = 1e-3
Descriptors = NDArray[np.float32]


def nearest(queries: Descriptors, references: Descriptors, k: int) -> Candidates:
    """The `k` most similar references of each query: (Q, D) and (R, D), L2-normalised, to Q * min(k, R) candidates.

    Raises:
        InputError: dimensions differ, or a descriptor is not finite or not of unit length.
    """
    import faiss

    for what, descriptors in (("query", queries), ("reference", references)):
        check_unit(descriptors, what)
    num_dims = references.shape[1]
    if queries.shape[1] != num_dims:
        raise InputError(f"queries have {queries.shape[1]} dimensions, references {num_dims}; embed both alike")
    index = faiss.IndexFlatIP(num_dims)
    index.add(np.ascontiguousarray(references, dtype=np.float32))
    k = min(k, len(references))
    scores, found = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    return Candidates(
        queries=np.repeat(np.arange(len(queries), dtype=np.int64), k),
        references=found.reshape(-1).astype(np.int64),
        scores=scores.reshape(-1).astype(np.float64),
    )


def check_unit(descriptors: Descriptors, what: str) -> None:
    """Refuse descriptors that an inner product would rank wrongly.

    Raises:
        InputError: one is not finite or not of unit length; the first such row is named.
    """
    lengths = np.linalg.norm(descriptors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
    if len(bad):
        raise InputError(
            f"{what} descriptor {bad[0]} has length {lengths[bad[0]]:.4g} where 1 is needed ({len(bad)} such); "
            "the artifact's output is broken"
        )
