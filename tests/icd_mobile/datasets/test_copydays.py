"""Copydays: a tree of the official shape, and figures worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from icd_mobile.datasets.copydays import BLOCKS
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError
from icd_mobile.retrieval.accuracy import Compared, judge
from icd_mobile.retrieval.copydays import judge_copydays

ORIGINALS = ("200000", "200100", "200200")
# One row an image, in the order of `Dataset.images`; the originals and the distractor are the four axes, so that a
# row is the scores of its image with the four references.
COPIES = {
    "strong/200001": (0.8, 0.6, 0, 0),  # found first
    "strong/200002": (0.6, 0.8, 0, 0),  # second, after original 200100
    "strong/200101": (0.6, 0, 0.8, 0),  # scores 0 like the distractor, which comes first in the tie: fourth
    "jpegqual/3/200000": (1, 0, 0, 0),
    "jpegqual/3/200100": (0, 1, 0, 0),
    "jpegqual/3/200200": (0, 0, 1, 0),
    "crops/10/200000": (1, 0, 0, 0),
    "crops/10/200100": (0, 0.6, 0, 0.8),  # second, after the distractor
    "crops/10/200200": (0, 0, 1, 0),
}


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((32, 24)).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three originals, nine copies in three blocks, and a distractor."""
    folder = tmp_path / "copydays"
    names = [*(f"original/{name}" for name in ORIGINALS), *COPIES, "distractors/some photo"]
    for seed, name in enumerate(names):
        picture(folder / f"{name}.jpg", seed)
    return folder


@pytest.fixture
def descriptors() -> np.ndarray:
    return np.array([*COPIES.values(), *np.eye(4)], dtype=np.float32)


@pytest.fixture
def dataset(tree: Path) -> Dataset:
    return read_dataset(tree)


def test_copies_are_queries_and_belong_to_the_original_of_their_first_four_digits(dataset: Dataset) -> None:
    assert [dataset.query_id(index) for index in range(len(dataset.queries))] == list(COPIES)
    assert [path.stem for path in dataset.references] == [*ORIGINALS, "some photo"]
    assert dataset.pairs.tolist() == [[0, 0], [1, 0], [2, 1], [3, 0], [4, 1], [5, 2], [6, 0], [7, 1], [8, 2]]
    assert dataset.blocks == ("strong",) * 3 + ("jpegqual/3",) * 3 + ("crops/10",) * 3


def test_blocks_that_are_not_there_are_said(dataset: Dataset, tree: Path) -> None:
    assert dataset.name == "copydays without 8 of 9 jpegqual, 8 of 9 crops, partial"
    for block in BLOCKS:
        picture(tree / block / "200200.jpg" if block != "strong" else tree / "strong" / "200201.jpg", seed=50)
    assert read_dataset(tree).name == "copydays, partial"


def test_only_strong_is_enough(tree: Path) -> None:
    for kind in ("jpegqual", "crops"):
        (tree / kind).rename(tree.parent / kind)
    dataset = read_dataset(tree)
    assert dataset.name == "copydays without jpegqual, crops, partial"
    assert set(dataset.blocks) == {"strong"}


def test_all_157_originals_are_not_partial(tree: Path) -> None:
    for number in range(200300, 215700, 100):  # 154 more
        (tree / "original" / f"{number}.jpg").write_bytes(b"")
    assert read_dataset(tree).name == "copydays without 8 of 9 jpegqual, 8 of 9 crops"


def test_mean_ap_of_each_block_is_worked_by_hand(dataset: Dataset, descriptors: np.ndarray) -> None:
    # Trapezoids: a match at rank r (from 0) with one pair a query adds (0 / r + 1 / (r + 1)) / 2, and 1 at rank 0.
    found = judge_copydays(descriptors, dataset, unreadable=())
    assert found.mean_ap == {
        "strong": pytest.approx((1 + 1 / 4 + 1 / 8) / 3, abs=1e-15),
        "jpegqual/3": 1.0,
        "crops/10": pytest.approx((1 + 1 / 4 + 1) / 3, abs=1e-15),
    }


def test_pooled_micro_ap_is_worked_by_hand_with_and_without_the_originals(
    dataset: Dataset, descriptors: np.ndarray
) -> None:
    # All 36 candidates by score, negatives first: 5 matches at 1; 3 negatives and a match at 0.8; 2 negatives and 2
    # matches at 0.6; 22 negatives and a match at 0. The originals add 3 matches at 1 and 9 negatives at 0.
    found = judge_copydays(descriptors, dataset, unreadable=())
    assert found.micro_ap_copies == pytest.approx((5 + 6 / 9 + 7 / 12 + 8 / 13 + 9 / 36) / 9, abs=1e-15)
    assert found.micro_ap_with_originals == pytest.approx((8 + 9 / 12 + 10 / 15 + 11 / 16 + 12 / 48) / 12, abs=1e-15)
    # By trapezoids the precision just before each match counts too: 8 of 11, 9 of 14, 10 of 15 and 11 of 47.
    before = 8 + 8 / 11 + 9 / 14 + 10 / 15 + 11 / 47
    expected = (before / 2 + (8 + 9 / 12 + 10 / 15 + 11 / 16 + 12 / 48) / 2) / 12
    assert found.micro_ap_sscd == pytest.approx(expected, abs=1e-15)


def trapezoids(ranks: list[int], num_pairs: int) -> float:
    """The area under a precision-recall curve, as the Holidays evaluation sums it."""
    area = 0.0
    for num_before, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else num_before / rank
        area += (before + (num_before + 1) / (rank + 1)) / (2 * num_pairs)
    return area


@settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_figures_are_those_of_full_sorts(seed: int, dataset: Dataset) -> None:
    rows = np.random.default_rng(seed).standard_normal((13, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = judge_copydays(rows, dataset, unreadable=())
    original_of = [*dataset.pairs[:, 1], 0, 1, 2]  # of the nine copies and of the originals
    scores = rows[:12] @ rows[9:].T
    by_query = [trapezoids([int((row > row[own]).sum())], 1) for row, own in zip(scores, original_of, strict=True)]
    for block, first in (("strong", 0), ("jpegqual/3", 3), ("crops/10", 6)):
        assert found.mean_ap[block] == pytest.approx(np.mean(by_query[first : first + 3]))
    queries, references = np.divmod(np.argsort(-scores, axis=None), 4)
    is_match = references == np.array(original_of)[queries]
    assert found.micro_ap_sscd == pytest.approx(trapezoids(np.flatnonzero(is_match).tolist(), 12))
    ranks = np.flatnonzero(is_match)
    assert found.micro_ap_with_originals == pytest.approx((np.arange(1, 13) / (ranks + 1)).sum() / 12)
    ranks = np.flatnonzero(is_match[queries < 9])
    assert found.micro_ap_copies == pytest.approx((np.arange(1, 10) / (ranks + 1)).sum() / 9)


def test_accuracy_of_a_record_has_the_copydays_figures(dataset: Dataset, descriptors: np.ndarray) -> None:
    found = judge(descriptors, dataset, (), Compared(None, None, "no teacher"))
    assert found.copydays == judge_copydays(descriptors, dataset, ())
    assert found.micro_ap == found.copydays.micro_ap_copies  # four references: 10 and 100 candidates are the same


def test_unreadable_copy_and_original_count_as_not_found(dataset: Dataset, descriptors: np.ndarray) -> None:
    # Without strong/200001 (row 0) and original 200200 (row 11): the third of jpegqual/3 and of crops/10 are lost.
    descriptors[[0, 11]] = np.nan
    found = judge_copydays(descriptors, dataset, unreadable=(0, 11))
    # 200101's first candidate is gone with the original: third, (0 / 2 + 1 / 3) / 2.
    assert found.mean_ap["strong"] == pytest.approx((0 + 1 / 4 + 1 / 6) / 3, abs=1e-15)
    assert found.mean_ap["jpegqual/3"] == pytest.approx(2 / 3, abs=1e-15)
    assert found.mean_ap["crops/10"] == pytest.approx((1 + 1 / 4) / 3, abs=1e-15)


def test_identity_follows_the_content_of_every_image(dataset: Dataset, tree: Path) -> None:
    picture(tree / "distractors" / "some photo.jpg", seed=99)
    assert read_dataset(tree).sha256 != dataset.sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strong/200301.jpg", r"200301\.jpg has no original: needed original/200300\.jpg"),
        ("crops/10/2000.jpg", r"2000\.jpg is not named as in Copydays \(200000\.jpg\)"),
        ("original/200001.jpg", r"200001\.jpg is among the originals, whose names end in 00"),
        ("original/200000.png", "share a number"),
    ],
)
def test_image_out_of_place_is_named(name: str, message: str, tree: Path) -> None:
    picture(tree / name, seed=0)
    with pytest.raises(InputError, match=message):
        read_dataset(tree)


def test_originals_alone_are_refused(tree: Path) -> None:
    for kind in ("strong", "jpegqual", "crops"):
        (tree / kind).rename(tree.parent / kind)
    with pytest.raises(InputError, match="has no copies: needed strong/, jpegqual/ or crops/"):
        read_dataset(tree)
