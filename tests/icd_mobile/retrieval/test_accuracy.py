"""The accuracy section of a record: with and without score normalisation, on descriptors worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icd_mobile.datasets.dataset import Dataset
from icd_mobile.errors import InputError
from icd_mobile.retrieval.accuracy import NO_TRAINING, Compared, judge, split
from icd_mobile.retrieval.result import BaselineInfo

ALONE = Compared(None, None, "none here")
E = np.eye(4)
QUERIES = [E[0], E[1]]
REFERENCES = [0.8 * E[0] + 0.6 * E[2], 0.9 * E[1] + np.sqrt(0.19) * E[2]]  # r0 is what q0 is a copy of; q1 of nothing
TRAINING = [cosine * E[1] + np.sqrt(1 - cosine**2) * E[3] for cosine in (0.9, 0.8, 0.7)]  # all like q1


def dataset_of(training: tuple[str, ...]) -> Dataset:
    return Dataset(
        name="toy",
        folder=Path("toy"),
        queries=(Path("toy/queries/q0.png"), Path("toy/queries/q1.png")),
        references=(Path("toy/references/r0.png"), Path("toy/references/r1.png")),
        training=tuple(Path(f"toy/training/{name}.png") for name in training),
        pairs=np.array([[0, 0]]),
        edits={},
        sha256="d" * 64,
    )


def rows(*more: np.ndarray) -> np.ndarray:
    return np.stack([*QUERIES, *REFERENCES, *more]).astype(np.float32)


def test_score_normalisation_lowers_what_is_close_to_everything() -> None:
    found = judge(rows(*TRAINING), dataset_of(("t0", "t1", "t2")), (), ALONE)
    # Scores fall: (q1, r1) 0.9, wrong; (q0, r0) 0.8, right; two of 0: precision 1/2 at the one match.
    assert (found.micro_ap, found.recall_at_p90, found.threshold_at_p90) == (0.5, 0.0, None)
    assert (found.recall_at_1, found.recall_at_10, found.accuracy_at_1) == (1.0, 1.0, 1.0)
    # q1's cosines to the training set are 0.9, 0.8, 0.7: its scores fall by 0.8, those of q0 by 0.
    assert found.normalized is not None
    assert (found.normalized.micro_ap, found.normalized.recall_at_p90) == (1.0, 1.0)
    assert found.normalized.threshold_at_p90 == pytest.approx(0.8)
    assert (found.normalized.beta, found.normalized.ranks, found.normalized.num_training) == (1.0, "[0,2]", 3)
    assert found.not_measured == {"teacher": "none here"}


@pytest.mark.parametrize(
    ("names", "training", "reason"),
    [
        ((), [], NO_TRAINING),
        (("t0", "t1"), TRAINING[:2], "has 2 readable images, 3 are needed"),
        (("t0", "t1", "r1"), TRAINING, "shares 1 of its 3 ids with the set being judged"),
        (("t0", "t1", "t2"), [*TRAINING[:2], REFERENCES[1]], "shares 1 of its 3 descriptors with the set being judged"),
        (("t0", "t1", "t2"), [*TRAINING[:2], QUERIES[0]], "shares 1 of its 3 descriptors with the set being judged"),
    ],
)
def test_it_is_never_fitted_on_what_is_judged_and_says_why(
    names: tuple[str, ...], training: list[np.ndarray], reason: str
) -> None:
    found = judge(rows(*training), dataset_of(names), (), ALONE)
    assert found.micro_ap == 0.5
    assert found.normalized is None
    assert reason in found.not_measured["normalized"]


def test_both_references_travel_in_the_section() -> None:
    baseline = BaselineInfo(name="s", weights_sha256="0" * 64, micro_ap=0.6)
    teacher = BaselineInfo(name="t", weights_sha256="1" * 64, micro_ap=0.7)
    found = judge(rows(*TRAINING), dataset_of(("t0", "t1", "t2")), (), Compared(baseline, teacher, ""))
    assert (found.baseline, found.teacher, found.not_measured) == (baseline, teacher, {})


def test_unreadable_images_leave_each_part_and_the_others_stay_in_place() -> None:
    found = split(dataset_of(("t0", "t1", "t2")), (1, 2, 5))
    assert found.queries.tolist() == [0]
    assert found.references.tolist() == [3]
    assert found.training.tolist() == [4, 6]
    with pytest.raises(InputError, match="no readable query"):
        split(dataset_of(()), (0, 1))


def test_descriptor_that_is_not_of_unit_length_is_named_by_its_place() -> None:
    broken = rows(*TRAINING)
    broken[3] *= 2
    with pytest.raises(InputError, match="reference descriptor 1 has length 2 "):
        judge(broken, dataset_of(("t0", "t1", "t2")), (), ALONE)
