"""Every ordered pair of artifacts of one descriptor space: references embedded by one, queries by the other.

A set of more than 2,000 queries or 20,000 references is sampled, the same way each time: queries by a fixed seed, and
of the references all that these queries match, filled up by the same seed. A pair thus costs at most one exact search
of 2,000 by 20,000, and the micro-AP of a sample is comparable within the matrix alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bench.accuracy import CANDIDATES_PER_QUERY, Split, split
from bench.compatibility import Cell, Compatibility, Member
from bench.datasets import Dataset
from bench.micro_ap import Candidates, Ints, detection, matches
from bench.records import ArtifactInfo
from bench.search import Descriptors, nearest_in_blocks
from devices.base import DeviceFacts
from export.manifest import Evidence

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
    """What is searched: rows of the queries and references among a dataset's images, and the pairs among them.

    `num_pairs` counts those of unreadable images too, as the record's micro-AP does.
    """

    queries: Ints
    references: Ints
    pairs: Ints  # (P, 2), indexes into `queries` and `references`
    num_pairs: int


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
    for index in artifacts:
        own = _first_answers(_search(index, index, searched))
        for queries in artifacts:
            if index.info.descriptor_dim != queries.info.descriptor_dim:
                continue
            cosines = np.einsum("nd,nd->n", index.descriptors[images], queries.descriptors[images])
            if index.info.weights_sha256 == queries.info.weights_sha256 or np.median(cosines) >= SAME_SPACE_COSINE:
                found = _search(index, queries, searched)
                result = detection(found.scores, matches(found, searched.pairs), searched.num_pairs)
                p1, p50 = np.percentile(cosines.astype(np.float64), [1, 50]).tolist()
                cells.append(
                    Cell(
                        index=index.info.model_sha256,
                        queries=queries.info.model_sha256,
                        micro_ap=result.micro_ap,
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
    queries, references = rows.queries, rows.references
    if len(queries) > MAX_QUERIES:
        queries = np.sort(rng.choice(queries, MAX_QUERIES, replace=False))
        pairs = pairs[np.isin(pairs[:, 0], queries)]
    kept = pairs[np.isin(pairs[:, 0], queries) & np.isin(pairs[:, 1] + num_queries, references)]
    if len(references) > MAX_REFERENCES:
        matched = np.unique(kept[:, 1] + num_queries)
        others = np.setdiff1d(references, matched)
        num_others = max(0, MAX_REFERENCES - len(matched))
        references = np.sort(np.concatenate([matched, rng.choice(others, num_others, replace=False)]))
    at = [np.searchsorted(queries, kept[:, 0]), np.searchsorted(references, kept[:, 1] + num_queries)]
    return Searched(queries, references, np.stack(at, axis=1).astype(np.int64), len(pairs))


def _search(index: Embedded, queries: Embedded, searched: Searched) -> Candidates:
    asked, held = queries.descriptors[searched.queries], index.descriptors[searched.references]
    return nearest_in_blocks(asked, [held], CANDIDATES_PER_QUERY)


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
