"""RDCD's hard-negative term against values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distill.losses.hard_negative import HardNegative
from icd_mobile.errors import InputError

FIRST = [[1.0, 0.0], [0.0, 1.0]]


def test_hard_negative_worked_by_hand(make_batch) -> None:
    loss = HardNegative()
    loss(make_batch(FIRST, [0, 1]))
    # (0.6, 0.8) of image 2 against (1,0) and (0,1): nearest 0.8, -log 0.2 = 1.609438.
    # (0, 1) of image 1 against image 0 only, its own being in the bank too: cosine 0, -log 1 = 0.
    assert loss(make_batch([[0.6, 0.8], [0.0, 1.0]], [2, 1])).item() == pytest.approx(1.609438 / 2, abs=1e-5)


def test_the_first_step_has_no_loss_and_no_gradient(make_batch) -> None:
    batch = make_batch(FIRST)
    loss = HardNegative()(batch)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.count_nonzero(batch.descriptors.grad) == 0


def test_a_duplicate_costs_the_floor_and_has_no_gradient(make_batch) -> None:
    loss = HardNegative()
    loss(make_batch([[1.0, 0.0]], [0]))
    batch = make_batch([[1.0, 0.0]], [1])
    cost = loss(batch)
    cost.backward()
    assert cost.item() == pytest.approx(-math.log(1e-3), rel=1e-6)
    assert torch.count_nonzero(batch.descriptors.grad) == 0


def test_a_row_with_only_its_own_image_in_the_bank_is_left_out(make_batch) -> None:
    loss = HardNegative()
    loss(make_batch([[1.0, 0.0]], [0]))
    # Image 0 is left out; image 1 at (0.6, 0.8) has cosine 0.6: -log 0.4 = 0.916291, not half of it.
    assert loss(make_batch([[1.0, 0.0], [0.6, 0.8]], [0, 1])).item() == pytest.approx(0.916291, abs=1e-5)


def test_the_oldest_leave_the_bank_with_their_ids(make_batch) -> None:
    loss = HardNegative(bank_size=1)
    loss(make_batch(FIRST, [0, 1]))  # image 1 at (0, 1) stays
    assert loss.bank.filled().tolist() == [[0.0, 1.0]]
    assert loss.bank_ids.filled().tolist() == [[1]]
    assert loss(make_batch([[1.0, 0.0]], [0])).item() == pytest.approx(0.0, abs=1e-6)


def test_a_resumed_loss_gives_the_same_next_value(make_batch, random_rows) -> None:
    whole, resumed = HardNegative(bank_size=5), HardNegative(bank_size=5)
    for step in range(2):
        whole(make_batch(random_rows(4, 3, seed=step), [0, 1, 2, 3]))
    resumed.load_state_dict(whole.state_dict())
    batch = make_batch(random_rows(4, 3, seed=9), [0, 1, 2, 3])
    assert whole(batch).item() == resumed(batch).item() != 0.0
    assert torch.equal(whole.bank.rows, resumed.bank.rows)


def test_the_gradient_stays_out_of_the_bank(make_batch, random_rows) -> None:
    loss = HardNegative()
    before = make_batch(random_rows(2, 3), [0, 1])
    loss(before)
    loss(make_batch(random_rows(2, 3, seed=1), [2, 3])).backward()
    assert before.descriptors.grad is None


def test_a_floor_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="hard_negative: floor"):
        HardNegative(floor=0.0)
