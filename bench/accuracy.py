"""From an artifact's descriptors of a dataset to the accuracy section of its record."""

from __future__ import annotations

import numpy as np

from bench.copydays import judge_copydays
from bench.datasets import Dataset
from bench.micro_ap import Candidates, Ints, bootstrap_interval, detection, matches, recall_at_k
from bench.records import Accuracy, BaselineInfo
from bench.search import Descriptors, nearest
from distill.errors import InputError

CANDIDATES_PER_QUERY = 10


def readable_images(dataset: Dataset, unreadable: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Indexes of the queries and of the references that could be read.

    Raises:
        InputError: none on one side.
    """
    readable = np.ones(len(dataset.images), dtype=bool)
    readable[list(unreadable)] = False
    queries = np.flatnonzero(readable[: len(dataset.queries)])
    references = np.flatnonzero(readable[len(dataset.queries) :][: len(dataset.references)])
    for images, kind in ((queries, "query"), (references, "reference")):
        if not len(images):
            raise InputError(f"{dataset.folder} has no readable {kind}; see the names above, and replace these files")
    return queries, references


def judge(
    descriptors: Descriptors, dataset: Dataset, unreadable: tuple[int, ...], baseline: BaselineInfo | None
) -> Accuracy:
    """Search every query among the references, exactly, and score the candidates; `descriptors` is (Q + R + T, D).

    Unreadable images are left out of the search; the ground-truth pairs they belong to count as not found.

    Raises:
        InputError: descriptors that are not finite or not of unit length, or no readable image on one side.
    """
    queries, references = readable_images(dataset, unreadable)
    num_queries = len(dataset.queries)
    found = nearest(descriptors[queries], descriptors[num_queries + references], CANDIDATES_PER_QUERY)
    candidates = Candidates(queries[found.queries], references[found.references], found.scores)
    is_match = matches(candidates, dataset.pairs)
    result = detection(candidates.scores, is_match, len(dataset.pairs))
    low, high = bootstrap_interval(candidates, is_match, dataset.pairs, num_queries)
    return Accuracy(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        num_references=len(dataset.references),
        num_queries=num_queries,
        num_positives=len(dataset.pairs),
        num_skipped=len(unreadable),
        k=CANDIDATES_PER_QUERY,
        micro_ap=result.micro_ap,
        micro_ap_low=low,
        micro_ap_high=high,
        recall_at_p90=result.recall_at_p90,
        threshold_at_p90=result.threshold_at_p90,
        recall_at_1=recall_at_k(candidates, is_match, len(dataset.pairs), k=1),
        baseline=baseline,
        copydays=judge_copydays(descriptors, dataset, unreadable) if dataset.blocks else None,
    )
