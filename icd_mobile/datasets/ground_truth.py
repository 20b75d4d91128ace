"""The challenge's ground truth: a CSV `query_id,reference_id`, a row for each matching pair.

An empty reference is a query without a match. Where a file has such rows it names every query, and any other query is
an error; where it has none, as the challenge's own subset file, it names the matched queries only. The header is
needed, but for files that begin with one of the challenge's own ids: its development ground truth has none.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from icd_mobile.datasets.csv_files import id_rows, write_csv
from icd_mobile.errors import InputError

PAIR_COLUMNS = ("query_id", "reference_id")


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


def read_ground_truth(path: Path) -> GroundTruth:
    """Read a ground-truth CSV.

    Raises:
        InputError: no such file, another header, a row that is not two ids, a pair twice, a query both with and
            without a match, or no pair at all. The row is named.
    """
    pairs: dict[tuple[str, str], int] = {}
    row_of_query: dict[str, int] = {}
    unmatched: set[str] = set()
    for row, (query, reference) in id_rows(path, PAIR_COLUMNS):
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


def write_ground_truth(path: Path, query_ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> None:
    """Write a ground-truth CSV, whole or not at all: a row for each pair, and one for each query without a pair."""
    references: dict[str, list[str]] = {query: [] for query in query_ids}
    for query, reference in pairs:
        references[query].append(reference)
    write_csv(path, PAIR_COLUMNS, ((query, name) for query, names in references.items() for name in names or [""]))
