"""Every ordered pair of artifacts of one descriptor space: references embedded by one, queries by the other.

A set of more than 2,000 queries or 20,000 references is sampled, the same way each time: by a fixed seed as many of the
queries with a match as their share of all, and of the references all that these match, filled up. A pair thus costs at
most one exact search of 2,000 by 20,000, and the micro-AP of a sample is comparable within the matrix alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bench.records.compatibility import Cell, Compatibility, Member
from bench.records.record import ArtifactInfo
from devices.base import DeviceFacts
from icd_mobile.arrays import Descriptors, Ints
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.evidence import Evidence
from icd_mobile.retrieval.accuracy import CANDIDATES_PER_QUERY, Split, split
from icd_mobile.retrieval.micro_ap import Candidates, bootstrap_interval, detection, matches
from icd_mobile.retrieval.search import nearest_in_blocks

MAX_QUERIES, MAX_REFERENCES = 2_000, 20_000
SAME_SPACE_COSINE = 0.5  # in the median; unrelated spaces of 64 dimensions or more are near 0


@dataclass(frozen=True)
class Embedded:
    """An artifact with its descriptors (N, D) of a dataset's images, which may lie on disk."""

    info: ArtifactInfo
    descriptors: Descriptors
    evidence: Evidence = "measured"


@dataclass(frozen=True)
class Searched:
    """What is searched: rows of the queries and references among a dataset's images, and the pairs to be found.

    `judged` are the queries that count, those that could not be read too; queries are numbered in it, and references
    by their rows, in `pairs` (P, 2) and in candidates.
    """

    queries: Ints
    references: Ints
    judged: Ints
    pairs: Ints


def cross_search(
    artifacts: Sequence[Embedded], dataset: Dataset, unreadable: tuple[int, ...], device: DeviceFacts
) -> Compatibility:
    """The matrix of some artifacts; a pair of different spaces has no cell.

    Two artifacts share a space where they have equal D and were made from the same student, or where the median cosine
    of their descriptors is at least 0.5: a student that was trained to its teacher's space, and two of these.
    """
    rows = split(dataset, unreadable)
    searched = _choose(rows, dataset.pairs, len(dataset.queries))
    images = np.concatenate([searched.queries, searched.references])
    cells = []
    for index in artifacts if len(searched.pairs) else ():  # none where no query with a match could be read
        own = _first_answers(_search(index, index, searched))
        for queries in artifacts:
            if index.info.descriptor_dim != queries.info.descriptor_dim:
                continue
            cosines = np.einsum("nd,nd->n", index.descriptors[images], queries.descriptors[images])
            if index.info.weights_sha256 == queries.info.weights_sha256 or np.median(cosines) >= SAME_SPACE_COSINE:
                found = _search(index, queries, searched)
                is_match = matches(found, searched.pairs)
                result = detection(found.scores, is_match, len(searched.pairs))
                low, high = bootstrap_interval(found, is_match, searched.pairs, len(searched.judged))
                p1, p50 = np.percentile(cosines.astype(np.float64), [1, 50]).tolist()
                cells.append(
                    Cell(
                        index=index.info.model_sha256,
                        queries=queries.info.model_sha256,
                        micro_ap=result.micro_ap,
                        micro_ap_low=low,
                        micro_ap_high=high,
                        threshold_at_p90=result.threshold_at_p90,
                        cosine_p1=p1,
                        cosine_p50=p50,
                        top1_changed=float(np.mean(_first_answers(found) != own)),
                    )
                )
    return Compatibility(
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device=device,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        num_queries=len(searched.queries),
        num_references=len(searched.references),
        sampled=len(searched.queries) + len(searched.references) < len(rows.queries) + len(rows.references),
        members=tuple(_member(artifact) for artifact in artifacts),
        cells=tuple(cells),
    )


def _choose(rows: Split, pairs: Ints, num_queries: int) -> Searched:
    """All readable queries and references, or a choice of them; `pairs` (P, 2) are the dataset's."""
    rng = np.random.default_rng(0)
    queries, references, judged = rows.queries, rows.references, np.arange(num_queries)
    if len(queries) > MAX_QUERIES:
        queries = judged = _sample_queries(queries, pairs, rng)
        pairs = pairs[np.isin(pairs[:, 0], queries)]
    matched = pairs[:, 1] + num_queries
    if len(references) > MAX_REFERENCES:
        wanted = np.intersect1d(matched[np.isin(pairs[:, 0], queries)], references)
        others = np.setdiff1d(references, wanted)
        num_others = max(0, MAX_REFERENCES - len(wanted))
        references = np.sort(np.concatenate([wanted, rng.choice(others, num_others, replace=False)]))
    return Searched(queries, references, judged, np.stack([np.searchsorted(judged, pairs[:, 0]), matched], axis=1))


def _sample_queries(queries: Ints, pairs: Ints, rng: np.random.Generator) -> Ints:
    """As many with a match as their share of all, and one at least: without a pair there is no micro-AP."""
    has_match = np.isin(queries, pairs[:, 0])
    num_matched = min(int(has_match.sum()), max(1, round(MAX_QUERIES * float(has_match.mean()))))
    parts = ((queries[has_match], num_matched), (queries[~has_match], MAX_QUERIES - num_matched))
    return np.sort(np.concatenate([rng.choice(part, num, replace=False) for part, num in parts]))


def _search(index: Embedded, queries: Embedded, searched: Searched) -> Candidates:
    asked, held = queries.descriptors[searched.queries], index.descriptors[searched.references]
    found = nearest_in_blocks(asked, [held], CANDIDATES_PER_QUERY)
    of_query = np.searchsorted(searched.judged, searched.queries)
    return Candidates(of_query[found.queries], searched.references[found.references], found.scores)


def _first_answers(found: Candidates) -> Ints:
    """(Q,) the reference found first for each query; candidates come query by query, best first."""
    return found.references[np.searchsorted(found.queries, np.unique(found.queries))]


def _member(artifact: Embedded) -> Member:
    info = artifact.info
    return Member(
        name=info.name,
        target=info.target,
        precision=info.precision,
        model_sha256=info.model_sha256,
        evidence=artifact.evidence,
    )
