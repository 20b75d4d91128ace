"""The challenge's predictions: a CSV `query_id,reference_id,score`.

A prediction for a query that the ground truth does not name is an error where that file names every query, and one for
a query without a match where it does not. The header is needed, but for files that begin with one of the challenge's
own ids: its own reader takes predictions without.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icd_mobile.arrays import Ints
from icd_mobile.datasets.csv_files import id_rows, write_csv
from icd_mobile.datasets.ground_truth import PAIR_COLUMNS, GroundTruth
from icd_mobile.errors import InputError
from icd_mobile.retrieval.micro_ap import Candidates

MAX_CANDIDATES = 500_000
PREDICTION_COLUMNS = (*PAIR_COLUMNS, "score")


@dataclass(frozen=True)
class Predictions:
    """Candidates, and the ground-truth pairs (P, 2) as indexes like theirs, over `num_queries` queries."""

    candidates: Candidates
    pairs: Ints
    num_queries: int


def read_predictions(path: Path, truth: GroundTruth) -> Predictions:
    """Read a predictions CSV; none at all, below the header, is allowed.

    Raises:
        InputError: no such file, another header, a row that is not two ids and a finite score, a pair twice, a query
            that the ground truth should name and does not, or over 500,000 rows. The row is named.
    """
    query_index = {query: index for index, query in enumerate(truth.query_ids)}
    reference_index: dict[str, int] = {}
    pairs = [
        (query_index[query], reference_index.setdefault(reference, len(reference_index)))
        for query, reference in truth.pairs
    ]
    row_of: dict[tuple[int, int], int] = {}
    scores = []
    for row, (query, reference, text) in id_rows(path, PREDICTION_COLUMNS):
        if query not in query_index and (truth.names_every_query or not query):
            raise InputError(f"{path} row {row}: no query '{query}' in {truth.path}; check the id")
        if not reference:
            raise InputError(f"{path} row {row}: the reference id is empty; leave the row out")
        pair = (
            query_index.setdefault(query, len(query_index)),
            reference_index.setdefault(reference, len(reference_index)),
        )
        if pair in row_of:
            raise InputError(f"{path} row {row}: ({query}, {reference}) is in row {row_of[pair]} already; keep one")
        if len(row_of) == MAX_CANDIDATES:
            raise InputError(f"{path} has over {MAX_CANDIDATES:,} predictions, the challenge's limit; keep the best")
        row_of[pair] = row
        scores.append(_score(text, f"{path} row {row}"))
    indexes = np.array(list(row_of), dtype=np.int64).reshape(-1, 2)
    candidates = Candidates(indexes[:, 0].copy(), indexes[:, 1].copy(), np.array(scores, dtype=np.float64))
    return Predictions(candidates, np.array(pairs, dtype=np.int64), len(query_index))


def write_predictions(
    path: Path, candidates: Candidates, query_ids: Sequence[str], reference_ids: Sequence[str]
) -> None:
    """Write a predictions CSV, whole or not at all; scores keep every digit."""
    columns = (candidates.queries.tolist(), candidates.references.tolist(), candidates.scores.tolist())
    rows = ((query_ids[query], reference_ids[found], score) for query, found, score in zip(*columns, strict=True))
    write_csv(path, PREDICTION_COLUMNS, rows)


def _score(text: str, where: str) -> float:
    try:
        score = float(text) if "_" not in text else math.nan  # Python would read 0_9 as 9
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: the score must be a finite number, got '{text}'")
    return score
