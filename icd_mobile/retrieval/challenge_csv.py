"""The challenge's CSV files: ground truth `query_id,reference_id` and predictions `query_id,reference_id,score`.

An empty reference in the ground truth is a query without a match. Where the ground truth has such rows it names every
query, and a prediction for another one is an error; where it has none, as the challenge's own subset file, it names the
matched queries only, and a prediction for another query is one for a query without a match. Byte-order marks and CRLF
are read as if they were not there. The header is needed, but for files that begin with one of the challenge's own ids:
its development ground truth has none, and its own reader takes predictions without.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.retrieval.micro_ap import Candidates, Ints

MAX_CANDIDATES = 500_000
PAIR_COLUMNS = ("query_id", "reference_id")
PREDICTION_COLUMNS = (*PAIR_COLUMNS, "score")
_CHALLENGE_QUERY = re.compile(r"Q\d{5}")


@dataclass(frozen=True)
class GroundTruth:
    """The queries a file names, in its order, and its (query, reference) pairs, each with the row that first has it."""

    path: Path
    query_rows: dict[str, int]
    pairs: dict[tuple[str, str], int]
    names_every_query: bool

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The queries, each once."""
        return tuple(self.query_rows)


@dataclass(frozen=True)
class Predictions:
    """Candidates, and the ground-truth pairs (P, 2) as indexes like theirs, over `num_queries` queries."""

    candidates: Candidates
    pairs: Ints
    num_queries: int


def read_ground_truth(path: Path) -> GroundTruth:
    """Read a ground-truth CSV.

    Raises:
        InputError: no such file, another header, a row that is not two ids, a pair twice, a query both with and
            without a match, or no pair at all. The row is named.
    """
    pairs: dict[tuple[str, str], int] = {}
    row_of_query: dict[str, int] = {}
    unmatched: set[str] = set()
    for row, (query, reference) in _rows(path, PAIR_COLUMNS):
        if not query:
            raise InputError(f"{path} row {row}: the query id is empty; name the query")
        if (query, reference) in pairs or query in unmatched or (not reference and query in row_of_query):
            earlier = pairs.get((query, reference), row_of_query[query])
            raise InputError(f"{path} row {row}: query '{query}' contradicts or repeats row {earlier}; keep one")
        row_of_query.setdefault(query, row)
        if reference:
            pairs[query, reference] = row
        else:
            unmatched.add(query)
    if not pairs:
        raise InputError(f"{path} names no matching pair; micro-AP needs at least one")
    return GroundTruth(path, row_of_query, pairs, names_every_query=bool(unmatched))


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
    for row, (query, reference, text) in _rows(path, PREDICTION_COLUMNS):
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


def write_ground_truth(path: Path, query_ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> None:
    """Write a ground-truth CSV, whole or not at all: a row for each pair, and one for each query without a pair."""
    references: dict[str, list[str]] = {query: [] for query in query_ids}
    for query, reference in pairs:
        references[query].append(reference)
    write_csv(path, PAIR_COLUMNS, ((query, name) for query, names in references.items() for name in names or [""]))


def write_predictions(
    path: Path, candidates: Candidates, query_ids: Sequence[str], reference_ids: Sequence[str]
) -> None:
    """Write a predictions CSV, whole or not at all; scores keep every digit."""
    columns = (candidates.queries.tolist(), candidates.references.tolist(), candidates.scores.tolist())
    rows = ((query_ids[query], reference_ids[found], score) for query, found, score in zip(*columns, strict=True))
    write_csv(path, PREDICTION_COLUMNS, rows)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Row number, from 1, and fields of each row but the header."""
    if not path.is_file():
        raise InputError(f"no file {path}; give a CSV with the header '{','.join(columns)}'")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            has_header = tuple(header) == columns
            if not has_header and not (header and _CHALLENGE_QUERY.fullmatch(header[0])):
                raise InputError(f"{path} row 1: needs the header '{','.join(columns)}', got '{','.join(header)}'")
            for fields in reader if has_header else chain([header], reader):
                if len(fields) != len(columns):
                    raise InputError(f"{path} row {reader.line_num}: needs {len(columns)} columns, got {len(fields)}")
                if any(field != field.strip() for field in fields):
                    raise InputError(f"{path} row {reader.line_num}: has spaces around a value; remove them")
                yield reader.line_num, fields
        except UnicodeDecodeError as error:
            raise InputError(f"{path} row {_first_undecodable(path)}: is not UTF-8 text; save it as CSV") from error
        except csv.Error as error:
            raise InputError(f"{path} row {reader.line_num}: {error}; save it as CSV") from error


def _first_undecodable(path: Path) -> int:
    """The row, from 1, that is not UTF-8: text is decoded a block at a time, so the reader does not know it."""
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return row
    raise AssertionError("every line of the file decodes")


def _score(text: str, where: str) -> float:
    try:
        score = float(text) if "_" not in text else math.nan  # Python would read 0_9 as 9
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: the score must be a finite number, got '{text}'")
    return score


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV with Unix line ends, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
