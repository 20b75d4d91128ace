"""Regression to the teacher's descriptor against values worked by hand."""

from __future__ import annotations

import pytest
import torch

from distill.losses.batch import Dims
from distill.losses.regression import Regression
from icd_mobile.errors import InputError


@pytest.mark.parametrize(
    ("distance", "expected"),
    # (0.6,0.8) to (1,0): 1 - 0.6 = 0.4, sqrt(0.16 + 0.64) = 0.894427; (0,1) to (0,1): 0.
    [("cosine", 0.4 / 2), ("l2", 0.894427 / 2)],
)
def test_regression_worked_by_hand(make_batch, distance: str, expected: float) -> None:
    batch = make_batch([[0.6, 0.8], [0.0, 1.0]], teacher=[[1.0, 0.0], [0.0, 1.0]], wide=[[1.0], [1.0]])
    loss = Regression(distance=distance)(batch)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert torch.isfinite(batch.descriptors.grad).all()
    assert batch.wide.grad is None


def test_other_dimensions_than_the_teacher_are_refused_even_with_a_wide_feature() -> None:
    Regression().check(Dims(descriptor=512, feature=1280, wide=None, teacher=512))
    with pytest.raises(InputError, match=r"got 256 and 512; give the student D = 512"):
        Regression().check(Dims(descriptor=256, feature=1280, wide=512, teacher=512))


def test_an_unknown_distance_is_answered_with_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        Regression(distance="cosin")
