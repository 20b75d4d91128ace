"""InfoNCE against values worked by hand and SSCD's formula in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from distill.losses.infonce import InfoNCE
from icd_mobile.errors import InputError


def test_infonce_worked_by_hand(make_batch) -> None:
    # Images 0, 0, 1 at (1,0), (0.6,0.8), (0,1), T = 1. Row 0: positive 0.6, negative 0:
    # log(1 + e^(0 - 0.6)) = 0.437488. Row 1: positive 0.6, negative 0.8: log(1 + e^0.2) = 0.798139.
    # Row 2 has no positive and is left out: (0.437488 + 0.798139) / 2 = 0.617813.
    batch = make_batch([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1])
    assert InfoNCE(temperature=1.0)(batch).item() == pytest.approx(0.617813, abs=1e-6)


def test_other_positives_are_not_in_the_denominator(make_batch, random_rows) -> None:
    rows, ids, temperature = random_rows(7, 4), [0, 1, 0, 1, 0, 2, 2], 0.05
    expected = []
    for i, (row, image) in enumerate(zip(rows, ids, strict=True)):
        sims = [math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / temperature) for other in rows]
        of_negatives = sum(sims[j] for j in range(7) if ids[j] != image)
        positives = [j for j in range(7) if ids[j] == image and j != i]
        expected.append(sum(-math.log(sims[p] / (sims[p] + of_negatives)) for p in positives) / len(positives))
    assert InfoNCE()(make_batch(rows, ids)).item() == pytest.approx(sum(expected) / 7, rel=1e-5)


@pytest.mark.parametrize("ids", [[0, 0, 0], [0, 1, 2]], ids=["no negative", "no positive"])
def test_infonce_without_a_pair_to_tell_apart_is_zero_with_zero_gradient(make_batch, ids: list[int]) -> None:
    batch = make_batch([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], ids)
    loss = InfoNCE()(batch)
    loss.backward()
    assert loss.item() == 0.0
    assert batch.descriptors.grad is not None
    assert torch.count_nonzero(batch.descriptors.grad) == 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="infonce: temperature must be a finite number above 0"):
        InfoNCE(temperature=temperature)


def test_a_bank_adds_past_rows_of_other_images_as_negatives_worked_by_hand(make_batch) -> None:
    # The bank comes to hold image 0 at (1,0), (1,0) and image 2 at (0,1); T = 1. Then image 0 at (1,0) and (0.6,0.8):
    # of the bank only image 2 counts, at 0 and 0.8, and the batch has no negative.
    # Row 0: log(1 + e^(0 - 0.6)) = 0.437488; row 1: log(1 + e^(0.8 - 0.6)) = 0.798139; the mean is 0.617813.
    loss = InfoNCE(temperature=1.0, bank_size=3)
    loss(make_batch([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 0, 2]))
    batch = make_batch([[1.0, 0.0], [0.6, 0.8]], [0, 0])
    value = loss(batch)
    assert value.item() == pytest.approx(0.617813, abs=1e-6)
    value.backward()
    assert batch.descriptors.grad is not None
    assert torch.isfinite(batch.descriptors.grad).all()


def test_the_first_batch_of_a_bank_has_its_own_negatives_alone(make_batch, random_rows) -> None:
    batch = make_batch(random_rows(6, 4), [0, 0, 1, 1, 2, 2])
    assert InfoNCE(bank_size=8)(batch).item() == pytest.approx(InfoNCE()(batch).item(), rel=1e-6)


def test_an_evaluation_leaves_the_bank_as_it_is(make_batch, random_rows) -> None:
    loss = InfoNCE(bank_size=8).eval()
    loss(make_batch(random_rows(4, 4), [0, 0, 1, 1]))
    assert loss.bank is not None
    assert loss.bank.filled().numel() == 0


def test_a_mixed_view_is_a_positive_of_both_its_photographs_worked_by_hand(make_batch) -> None:
    # Rows (1,0) of image 0, (0,1) of image 1, (0.6,0.8) of 0 mixed with 1; T = 1. Row 0: positive 0.6, negative 0;
    # row 1: positive 0.8, negative 0; row 2 has two positives and no negative, so its terms are 0.
    # (log(1 + e^-0.6) + log(1 + e^-0.8) + 0) / 3 = (0.437488 + 0.371101) / 3 = 0.269530.
    batch = replace(make_batch([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], [0, 1, 0]), mixed_ids=torch.tensor([0, 1, 1]))
    assert InfoNCE(temperature=1.0)(batch).item() == pytest.approx(0.269530, abs=1e-6)
