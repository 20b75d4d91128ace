"""From an artifact's descriptors of a dataset to the accuracy section of its record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icd_mobile.arrays import Bools, Descriptors, Floats, Ints
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.errors import InputError
from icd_mobile.retrieval.copydays import judge_copydays
from icd_mobile.retrieval.descriptor_files import DescriptorSet, Part
from icd_mobile.retrieval.micro_ap import Candidates, accuracy_at_1, bootstrap_interval, detection, matches, recall_at_k
from icd_mobile.retrieval.result import Accuracy, BaselineInfo, NormalizedAccuracy
from icd_mobile.retrieval.score_normalization import NUM_NEAREST, check_apart, score_bias
from icd_mobile.retrieval.search import check_unit, nearest_in_blocks

CANDIDATES_PER_QUERY = 10
BETA = 1.0
NO_TRAINING = "the dataset has no training split"


@dataclass(frozen=True)
class Compared:
    """What an artifact's retention is relative to; where there is no teacher, why."""

    baseline: BaselineInfo | None
    teacher: BaselineInfo | None
    no_teacher: str


class Rows:
    """Chosen rows of descriptors (N, D) that may lie on disk; read when they are asked for."""

    def __init__(self, descriptors: Descriptors, rows: Ints) -> None:
        self._descriptors, self._rows = descriptors, rows
        self.shape = (len(rows), descriptors.shape[1])

    def __getitem__(self, which: slice | int) -> Descriptors:
        found: Descriptors = self._descriptors[self._rows[which]]
        return found


@dataclass(frozen=True)
class Split:
    """The readable images of each part of a dataset, as indexes into `Dataset.images`."""

    queries: Ints
    references: Ints
    training: Ints


def split(dataset: Dataset, unreadable: tuple[int, ...]) -> Split:
    """Which images of each part could be read.

    Raises:
        InputError: no query, or no reference.
    """
    readable = np.ones(len(dataset.images), dtype=bool)
    readable[list(unreadable)] = False
    rows = np.flatnonzero(readable)
    first_reference = len(dataset.queries)
    first_training = first_reference + len(dataset.references)
    queries, references, training = np.split(rows, np.searchsorted(rows, [first_reference, first_training]))
    for images, kind in ((queries, "query"), (references, "reference")):
        if not len(images):
            raise InputError(f"{dataset.folder} has no readable {kind}; see the names above, and replace these files")
    return Split(queries, references, training)


ALONE = Compared(None, None, "no teacher was judged beside it")


def judge(
    descriptors: Descriptors, dataset: Dataset, unreadable: tuple[int, ...] = (), compared: Compared = ALONE
) -> Accuracy:
    """Search every query among the references, exactly, and score the candidates; `descriptors` is (Q + R + T, D).

    Unreadable images are left out of the search; the ground-truth pairs they belong to count as not found. References
    and training images are read in blocks, queries are held in memory.

    >>> data = read_dataset(dataset)
    >>> judge(describe(bundle, data.images), data).micro_ap
    1.0

    Raises:
        InputError: descriptors that are not finite or not of unit length, or no readable image on one side.
    """
    rows = split(dataset, unreadable)
    queries = np.asarray(descriptors[rows.queries])
    candidates, is_match = search(queries, descriptors, rows, dataset)
    num_pairs, num_queries = len(dataset.pairs), len(dataset.queries)
    result = detection(candidates.scores, is_match, num_pairs)
    low, high = bootstrap_interval(candidates, is_match, dataset.pairs, num_queries)
    not_measured = {} if compared.teacher else {"teacher": compared.no_teacher}
    try:
        bias = np.zeros(len(dataset.queries))
        bias[rows.queries] = _fitted_bias(queries, descriptors, rows, dataset)
        normalized = _normalized(candidates, is_match, dataset, bias[candidates.queries], len(rows.training))
    except InputError as error:
        normalized = None
        not_measured["normalized"] = str(error)
    return Accuracy(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        num_references=len(dataset.references),
        num_queries=num_queries,
        num_positives=num_pairs,
        num_skipped=len(unreadable),
        k=CANDIDATES_PER_QUERY,
        micro_ap=result.micro_ap,
        micro_ap_low=low,
        micro_ap_high=high,
        recall_at_p90=result.recall_at_p90,
        threshold_at_p90=result.threshold_at_p90,
        recall_at_1=recall_at_k(candidates, is_match, num_pairs, k=1),
        recall_at_10=recall_at_k(candidates, is_match, num_pairs, k=10),
        accuracy_at_1=accuracy_at_1(candidates, is_match, dataset.pairs),
        normalized=normalized,
        baseline=compared.baseline,
        teacher=compared.teacher,
        copydays=judge_copydays(descriptors, dataset, unreadable) if dataset.blocks else None,
        not_measured=not_measured,
    )


def search(queries: Descriptors, descriptors: Descriptors, rows: Split, dataset: Dataset) -> tuple[Candidates, Bools]:
    """The nearest references of (Q, D) readable queries, by their numbers in the dataset, and which are matches.

    Raises:
        InputError: descriptors that are not finite or not of unit length.
    """
    check_unit(queries, "query")
    references = _part("references", descriptors, rows.references, dataset)
    found = nearest_in_blocks(queries, _checked(references, "reference"), CANDIDATES_PER_QUERY)
    candidates = Candidates(
        rows.queries[found.queries], rows.references[found.references] - len(dataset.queries), found.scores
    )
    return candidates, matches(candidates, dataset.pairs)


def _fitted_bias(queries: Descriptors, descriptors: Descriptors, rows: Split, dataset: Dataset) -> Floats:
    """(Q,) what normalisation adds to the scores of each readable query.

    Raises:
        InputError: no training split, one of fewer than three images, or one that shares an image with what is judged.
    """
    if not dataset.training:
        raise InputError(NO_TRAINING)
    if len(rows.training) < NUM_NEAREST:
        raise InputError(f"the training split has {len(rows.training)} readable images, {NUM_NEAREST} are needed")
    training = _part("training", descriptors, rows.training, dataset)
    for part, judged in (("queries", rows.queries), ("references", rows.references)):
        check_apart(training, _part(part, descriptors, judged, dataset))
    return score_bias(queries, _checked(training, "training"), BETA)


def _normalized(
    candidates: Candidates, is_match: Bools, dataset: Dataset, bias: Floats, num_training: int
) -> NormalizedAccuracy:
    """The same candidates with their scores moved by `bias` (C,), which is one for each query."""
    moved = Candidates(candidates.queries, candidates.references, candidates.scores + bias)
    result = detection(moved.scores, is_match, len(dataset.pairs))
    low, high = bootstrap_interval(moved, is_match, dataset.pairs, len(dataset.queries))
    return NormalizedAccuracy(
        beta=BETA,
        num_training=num_training,
        micro_ap=result.micro_ap,
        micro_ap_low=low,
        micro_ap_high=high,
        recall_at_p90=result.recall_at_p90,
        threshold_at_p90=result.threshold_at_p90,
    )


def _part(name: str, descriptors: Descriptors, rows: Ints, dataset: Dataset) -> DescriptorSet:
    images = dataset.images
    ids = np.array([images[row].stem for row in rows.tolist()], dtype=np.str_)
    return DescriptorSet((Part(Path(name), Rows(descriptors, rows), ids),), ids)


def _checked(part: DescriptorSet, what: str) -> Iterator[Descriptors]:
    first = 0
    for block in part.blocks():
        check_unit(block, what, first)
        yield block
        first += len(block)
