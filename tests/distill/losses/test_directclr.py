"""DirectCLR against values worked by hand and the paper's symmetric cross-entropy in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from distill.losses.batch import Dims
from distill.losses.directclr import DirectCLR, view_numbers
from icd_mobile.errors import InputError


def test_directclr_worked_by_hand(make_batch) -> None:
    # Two images, first two of three dimensions, T = 1. View a: (3,4) -> (0.6,0.8) and (0,2) -> (0,1);
    # view b: (1,0) and (0,5) -> (0,1). The third dimension changes nothing. Cross-view cosines:
    #   a0.b0 = 0.6, a0.b1 = 0.8, a1.b0 = 0, a1.b1 = 1.
    # a to b: log(1 + e^0.2) = 0.798139 and log(1 + e^-1) = 0.313262.
    # b to a: b0: log(1 + e^(0 - 0.6)) = 0.437488; b1: log(1 + e^(0.8 - 1)) = 0.598139. Mean: 0.536757.
    features = [[3.0, 4.0, 9.0], [0.0, 2.0, -7.0], [1.0, 0.0, 5.0], [0.0, 5.0, 0.0]]
    batch = make_batch([[1.0, 0.0]] * 4, [7, 3, 7, 3], features=features)
    assert DirectCLR(num_dims=2, temperature=1.0)(batch).item() == pytest.approx(0.536757, abs=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]], ids=["view by view", "image by image"])
def test_directclr_is_the_symmetric_cross_entropy_over_cross_view_similarities(
    make_batch, random_rows, order: list[int]
) -> None:
    rows = random_rows(6, 5)  # rows 0..2 are view a of images 0..2, rows 3..5 view b
    ids = [0, 1, 2, 0, 1, 2]

    def cosine(i: int, j: int) -> float:
        a, b = rows[i][:3], rows[j][:3]
        return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    expected = 0.0
    for queries, keys in (([0, 1, 2], [3, 4, 5]), ([3, 4, 5], [0, 1, 2])):
        for i, positive in zip(queries, keys, strict=True):
            total = sum(math.exp(cosine(i, j) / 0.1) for j in keys)
            expected -= math.log(math.exp(cosine(i, positive) / 0.1) / total) / 6
    batch = make_batch([[1.0, 0.0]] * 6, [ids[i] for i in order], features=[rows[i] for i in order])
    assert DirectCLR(num_dims=3)(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_reaches_the_slice_of_the_trunk_feature_and_nothing_else(make_batch, random_rows) -> None:
    batch = make_batch(random_rows(4, 3), [0, 0, 1, 1], features=random_rows(4, 6), wide=random_rows(4, 5))
    DirectCLR(num_dims=2)(batch).backward()
    assert torch.count_nonzero(batch.features.grad[:, :2]) == 8
    assert torch.count_nonzero(batch.features.grad[:, 2:]) == 0
    assert batch.descriptors.grad is None
    assert batch.wide.grad is None


def test_a_row_whose_image_has_no_other_view_is_left_out(make_batch, random_rows) -> None:
    # Image 1 has one view. It is a candidate for the view-b row of image 0, and asks nothing itself.
    rows = random_rows(3, 2)
    loss = DirectCLR(num_dims=2, temperature=1.0)(make_batch(rows, [0, 1, 0]))
    cosines = torch.tensor(rows) @ torch.tensor(rows).T
    # Row 0 looks at view b, which is row 2 alone: 0. Row 2 looks at view a, rows 0 and 1.
    assert loss.item() == pytest.approx(math.log(1 + math.exp(cosines[2, 1] - cosines[2, 0])) / 2, rel=1e-5)


def test_views_are_numbered_as_they_come() -> None:
    assert view_numbers(torch.tensor([5, 2, 5, 2, 9, 5])).tolist() == [0, 0, 1, 1, 0, 2]


def test_a_slice_wider_than_the_trunk_is_refused() -> None:
    DirectCLR().check(Dims(descriptor=64, feature=360, wide=None, teacher=None))
    with pytest.raises(InputError, match=r"first 360 dimensions of the trunk feature, which has 320"):
        DirectCLR().check(Dims(descriptor=64, feature=320, wide=None, teacher=None))
