"""The weighted sum of a recipe."""

from __future__ import annotations

import pytest
import torch

from distill.losses import build_loss
from distill.losses.batch import Dims
from distill.losses.weighted import WeightedLosses
from icd_mobile.errors import InputError


def losses_of(**weights: float) -> WeightedLosses:
    return WeightedLosses([(name, weight, build_loss(name, {})) for name, weight in weights.items()])


def test_the_total_is_the_weighted_sum_and_the_parts_are_unweighted(make_batch) -> None:
    # regression 0.4 / 2 = 0.2 as in its own test; koleo of one pair at distance sqrt(0.4): -log = 0.458145.
    batch = make_batch([[0.6, 0.8], [0.0, 1.0]], teacher=[[1.0, 0.0], [0.0, 1.0]])
    total, parts = losses_of(regression=10, koleo=0.5)(batch)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(
        {"regression": 0.2, "koleo": 0.458145}, abs=1e-6
    )
    assert total.item() == pytest.approx(10 * 0.2 + 0.5 * 0.458145, abs=1e-5)
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())


def test_banks_are_in_the_state_and_survive_it(make_batch, random_rows) -> None:
    whole = losses_of(similarity_distillation=1.0, hard_negative=5.0)
    resumed = losses_of(similarity_distillation=1.0, hard_negative=5.0)
    for step in range(2):
        whole(make_batch(random_rows(4, 3, seed=step), teacher=random_rows(4, 3, seed=10 + step)))
    resumed.load_state_dict(whole.state_dict())
    batch = make_batch(random_rows(4, 3, seed=5), teacher=random_rows(4, 3, seed=15))
    expected, _ = whole(batch)
    fresh, _ = losses_of(similarity_distillation=1.0, hard_negative=5.0)(batch)
    assert torch.equal(resumed(batch)[0], expected)
    assert not torch.equal(fresh, expected)


def test_evaluation_changes_no_bank(make_batch, random_rows) -> None:
    losses = losses_of(similarity_distillation=1.0, hard_negative=5.0).eval()
    losses(make_batch(random_rows(4, 3), teacher=random_rows(4, 3, seed=1)))
    assert all(value.numel() == 0 or int(value) == 0 for value in losses.state_dict().values())


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_above_zero_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="the weight of loss koleo must be a finite number above 0"):
        losses_of(koleo=weight)


def test_no_loss_and_the_same_loss_twice_are_refused() -> None:
    with pytest.raises(InputError, match="one loss or more"):
        WeightedLosses([])
    with pytest.raises(InputError, match="koleo twice"):
        WeightedLosses([("koleo", 1.0, build_loss("koleo", {})), ("koleo", 2.0, build_loss("koleo", {}))])


def test_a_missing_teacher_is_found_before_training() -> None:
    losses = losses_of(koleo=1.0, relational=1.0)
    assert losses.needs_teacher
    assert not losses_of(koleo=1.0).needs_teacher
    with pytest.raises(InputError, match="loss relational needs a teacher"):
        losses.check(Dims(descriptor=64, feature=1280, wide=None, teacher=None))
    losses.check(Dims(descriptor=64, feature=1280, wide=None, teacher=512))


def test_dimensions_are_checked_by_each_loss() -> None:
    with pytest.raises(InputError, match="regression needs a student with the teacher's dimensions, got 64 and 512"):
        losses_of(koleo=1.0, regression=1.0).check(Dims(descriptor=64, feature=1280, wide=None, teacher=512))
