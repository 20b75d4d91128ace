"""Search by any FAISS index factory string, such as `IVF1024,Flat`, `HNSW32` or `PQ32`: speed in place of exactness.

The index is in memory: whole descriptors for `IVF..,Flat` and `HNSW..`, codes for `PQ..`. What it learns, it learns
from training descriptors, never from those judged.

Source: FAISS wiki, "The index factory" and "Index IO, cloning and hyper parameter tuning".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from icd_mobile.arrays import Descriptors
from icd_mobile.errors import InputError
from icd_mobile.retrieval.micro_ap import Candidates

_PLACE = re.compile(r" at \S+\.(?:cpp|h):\d+: ")
MAX_TRAINING_ROWS = 262_144  # FAISS itself takes no more than 256 for each of 1,024 centroids


@dataclass(frozen=True)
class IndexChoice:
    """A factory string, and what is set on the index before it is searched: `nprobe=16,efSearch=64`, or nothing."""

    factory: str
    parameters: str = ""

    def __str__(self) -> str:
        return f"FAISS index {self.factory}" + (f" with {self.parameters}" if self.parameters else "")


def open_index(choice: IndexChoice, num_dims: int) -> Any:
    """An empty index for the inner product of descriptors (D,).

    Raises:
        InputError: FAISS does not know the factory string, or it does not go with D.
    """
    import faiss

    with _one_line(choice):
        return faiss.index_factory(num_dims, choice.factory, faiss.METRIC_INNER_PRODUCT)


def fill_index(
    index: Any, choice: IndexChoice, training: Iterable[Descriptors], references: Iterable[Descriptors]
) -> None:
    """Train on blocks (n, D), where the index needs that, then add the references, block by block.

    Raises:
        InputError: too few training descriptors, or the index has no such parameter.
    """
    import faiss

    with _one_line(choice):
        if not index.is_trained:
            index.train(_sample(training))
        if choice.parameters:
            space: Any = faiss.ParameterSpace()  # its types know one of two forms
            space.set_index_parameters(index, choice.parameters)
        for block in references:
            index.add(np.ascontiguousarray(block, dtype=np.float32))


def nearest_in_index(index: Any, choice: IndexChoice, queries: Descriptors, k: int) -> Candidates:
    """At most `k` references for each query (Q, D), best first, scored as the index does."""
    with _one_line(choice):
        scores, found = index.search(np.ascontiguousarray(queries, dtype=np.float32), min(k, index.ntotal))
    kept = found.reshape(-1) >= 0  # -1: the index came to fewer
    of_query = np.repeat(np.arange(len(queries), dtype=np.int64), found.shape[1])
    return Candidates(of_query[kept], found.reshape(-1)[kept].astype(np.int64), scores.reshape(-1)[kept].astype(float))


def _sample(blocks: Iterable[Descriptors]) -> Descriptors:
    """At most `MAX_TRAINING_ROWS` rows, drawn evenly from a stream of unknown length by thinning it as it goes."""
    kept: list[Descriptors] = []
    step, offset = 1, 0
    for block in blocks:
        kept.append(np.ascontiguousarray(block[-offset % step :: step], dtype=np.float32))
        offset += len(block)
        while sum(map(len, kept)) > MAX_TRAINING_ROWS:
            step *= 2
            kept = [np.concatenate(kept)[::2]]
    return np.concatenate(kept)


@contextmanager
def _one_line(choice: IndexChoice) -> Iterator[None]:
    """FAISS's own errors, without the place in its sources."""
    try:
        yield
    except (RuntimeError, MemoryError, AssertionError) as error:
        reason = (
            _PLACE.split(" ".join(str(error).split()))[-1].rpartition("failed: ")[2].strip() or type(error).__name__
        )
        raise InputError(
            f"{choice} cannot be used ({reason}); see FAISS's wiki, 'The index factory', or leave out --index"
        ) from error
