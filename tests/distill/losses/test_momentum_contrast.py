"""Momentum contrast against values worked by hand."""

from __future__ import annotations

import math

import pytest

from distill.losses.momentum_contrast import MomentumContrast
from icd_mobile.errors import InputError


def test_a_view_finds_its_photograph_among_the_keys_worked_by_hand(make_batch) -> None:
    # Views (0.6,0.8) of image 0 and (0,1) of image 1; keys (1,0) of 0 and (0,1) of 1; T = 1.
    # Row 0: own key 0.6, other 0.8: log(1 + e^0.2) = 0.798139. Row 1: own 1, other 0: log(1 + e^-1) = 0.313262.
    batch = make_batch([[0.6, 0.8], [0.0, 1.0]], [0, 1], keys=[[1.0, 0.0], [0.0, 1.0]], key_ids=[0, 1])
    loss = MomentumContrast(temperature=1.0, bank_size=4)(batch)
    assert loss.item() == pytest.approx((0.798139 + 0.313262) / 2, abs=1e-6)
    loss.backward()
    assert batch.descriptors.grad is not None
    assert batch.descriptors.grad.abs().sum() > 0


def test_keys_of_past_steps_are_negatives_but_for_those_of_the_same_image_worked_by_hand(make_batch) -> None:
    # The bank holds keys (1,0) of image 0 and (0,1) of image 7. Then (0.6,0.8) of image 0 with its key (1,0) in the
    # batch: of the bank only image 7's counts, at 0.8: log(1 + e^(0.8 - 0.6)) = 0.798139.
    loss = MomentumContrast(temperature=1.0, bank_size=2)
    loss(make_batch([[1.0, 0.0], [0.0, 1.0]], [0, 7], keys=[[1.0, 0.0], [0.0, 1.0]], key_ids=[0, 7]))
    value = loss(make_batch([[0.6, 0.8]], [0], keys=[[1.0, 0.0]], key_ids=[0]))
    assert value.item() == pytest.approx(0.798139, abs=1e-6)


def test_without_a_mean_of_the_weights_there_are_no_keys(make_batch) -> None:
    with pytest.raises(InputError, match="momentum_contrast needs a mean of the weights, got none; set ema_decay"):
        MomentumContrast(bank_size=2)(make_batch([[1.0, 0.0]], [0]))


def test_an_evaluation_leaves_the_bank_as_it_is(make_batch) -> None:
    loss = MomentumContrast(bank_size=2).eval()
    loss(make_batch([[1.0, 0.0]], [0], keys=[[1.0, 0.0]], key_ids=[0]))
    assert loss.bank.filled().numel() == 0


@pytest.mark.parametrize("temperature", [0.0, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="momentum_contrast: temperature must be a finite number above 0"):
        MomentumContrast(temperature=temperature)
