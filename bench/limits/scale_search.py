"""Our search over mapped descriptors against a bare in-memory `faiss.IndexFlatIP`, block by block in one run.

The machine may be busy. So the bare search takes its turn right before ours on the same block, and what counts is the
median of the blocks' ratios: whatever slows minutes slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.limits.anonymous_memory import PeakMemory
from icd_mobile.arrays import Descriptors
from icd_mobile.retrieval.descriptor_files import BLOCK_BYTES
from icd_mobile.retrieval.search import best_pairs, nearest_in_blocks

MIN_TURNS = 4  # blocks on which the bare search takes its turn, over all rounds
WRITE_ROWS = 65_536


@dataclass(frozen=True)
class SearchFigures:
    """A search of (Q, D) among (R, D): our rate over everything, and how it compares with the bare one."""

    num_queries: int
    num_references: int
    num_dims: int
    gflop_per_s: float
    ratios: tuple[float, ...]  # bare seconds over ours, one for each turn
    peak_bytes: int | None

    @property
    def ratio(self) -> float:
        """Our rate over the bare one, median of the turns."""
        return statistics.median(self.ratios)


def write_unit_rows(path: Path, num_rows: int, num_dims: int, seed: int) -> None:
    """A .npy of random unit rows (N, D), a block in memory at a time."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(num_rows, num_dims))
    rng = np.random.default_rng(seed)
    for start in range(0, num_rows, WRITE_ROWS):
        block = rng.standard_normal((min(WRITE_ROWS, num_rows - start), num_dims), dtype=np.float32)
        rows[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    rows.flush()


class _Turns:
    """Hands out blocks to our search, lets the bare one go first on some, and times both."""

    def __init__(self, queries: Descriptors, references: Descriptors, k: int, memory: PeakMemory) -> None:
        self._queries, self._references, self._k, self._memory = queries, references, k, memory
        self.away_s = 0.0  # everything that is not our search
        self.ratios: list[float] = []

    def blocks(self) -> Iterator[Descriptors]:
        """The references' blocks, as `DescriptorSet.blocks` gives them."""
        num_rows = max(1, BLOCK_BYTES // (4 * self._references.shape[1]))
        starts = range(0, len(self._references), num_rows)
        step = max(1, len(starts) // MIN_TURNS)
        for index, start in enumerate(starts):
            block = self._references[start : start + num_rows]
            bare_s = self._bare_s(block) if index % step == 0 else None
            begun = time.perf_counter()
            yield block
            if bare_s is not None:
                self.ratios.append(bare_s / (time.perf_counter() - begun))

    def _bare_s(self, block: Descriptors) -> float:
        begun = time.perf_counter()
        self._memory.pause()
        seconds = bare_s(self._queries, block, self._k)
        self._memory.resume()
        self.away_s += time.perf_counter() - begun
        return seconds


def bare_s(queries: Descriptors, references: Descriptors, k: int) -> float:
    """Seconds of a bare search; the copy into memory is not timed."""
    import faiss

    index = faiss.IndexFlatIP(references.shape[1])
    index.add(np.array(references))
    begun = time.perf_counter()
    index.search(queries, k)
    return time.perf_counter() - begun


def measure_nearest(queries: Descriptors, references: Descriptors, k: int) -> SearchFigures:
    """The `k` best references of each query, from mapped references, beside the bare search of single blocks."""
    ratios: list[float] = []
    ours_s, num_rounds = 0.0, 0
    with PeakMemory() as memory:
        while len(ratios) < MIN_TURNS:
            turns = _Turns(queries, references, k, memory)
            begun = time.perf_counter()
            nearest_in_blocks(queries, turns.blocks(), k)
            ours_s += time.perf_counter() - begun - turns.away_s
            ratios += turns.ratios
            num_rounds += 1
    return _figures(queries, references, ours_s / num_rounds, ratios, memory.peak_bytes)


def measure_best_pairs(queries: Descriptors, references: Descriptors, per_query: int) -> SearchFigures:
    """The `per_query` x Q best pairs of all, beside the bare search of all for `per_query` a query."""
    ours_s: list[float] = []
    ratios: list[float] = []
    num_rows = max(1, BLOCK_BYTES // (4 * references.shape[1]))
    with PeakMemory() as memory:
        for _ in range(MIN_TURNS):
            memory.pause()
            other_s = bare_s(queries, references, per_query)
            memory.resume()
            begun = time.perf_counter()
            best_pairs(
                queries,
                lambda: (references[start : start + num_rows] for start in range(0, len(references), num_rows)),
                per_query * len(queries),
            )
            ours_s.append(time.perf_counter() - begun)
            ratios.append(other_s / ours_s[-1])
    return _figures(queries, references, statistics.median(ours_s), ratios, memory.peak_bytes)


def _figures(
    queries: Descriptors, references: Descriptors, ours_s: float, ratios: list[float], peak_bytes: int | None
) -> SearchFigures:
    flop = 2.0 * len(queries) * references.shape[0] * references.shape[1]
    return SearchFigures(
        len(queries), references.shape[0], references.shape[1], flop / ours_s / 1e9, tuple(ratios), peak_bytes
    )
