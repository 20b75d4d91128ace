"""LARS, by hand and against a plain loop of the formula."""

from __future__ import annotations

import copy

import pytest
import torch

from distill.training.lars import LARS, trust_ratio


def test_two_steps_worked_by_hand() -> None:
    """|w| = 5, |g| = 10: ratio 0.001 * 5 / 10 = 0.0005; the second step adds nine tenths of the first's velocity."""
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = LARS([weight], lr=10.0, momentum=0.9)
    weight.grad = torch.tensor([6.0, 8.0], dtype=torch.float64)
    optimizer.step()
    velocity = 0.0005 * torch.tensor([6.0, 8.0], dtype=torch.float64)  # 0.003, 0.004
    after = torch.tensor([3.0 - 0.03, 4.0 - 0.04], dtype=torch.float64)
    torch.testing.assert_close(weight.data, after, rtol=1e-9, atol=1e-9)

    weight.grad = torch.tensor([0.0, -1.0], dtype=torch.float64)
    optimizer.step()
    ratio = 0.001 * 4.95  # |(2.97, 3.96)| = 4.95, |g| = 1
    velocity = 0.9 * velocity + ratio * weight.grad
    torch.testing.assert_close(weight.data, after - 10.0 * velocity, rtol=1e-8, atol=1e-9)


def test_weight_decay_is_in_the_gradient_and_in_the_ratio() -> None:
    """|w| = 2, |g| = 1, decay 0.5: ratio 0.001 * 2 / (1 + 0.5 * 2) = 0.001; gradient 1 + 0.5 * 2 = 2."""
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([1.0])
    LARS([weight], lr=1.0, momentum=0.0, weight_decay=0.5).step()
    assert weight.item() == pytest.approx(2.0 - 0.001 * 2.0)


def test_a_zero_weight_or_gradient_takes_a_plain_step() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    LARS([weight], lr=0.5, momentum=0.9).step()
    torch.testing.assert_close(weight.data, torch.tensor([-0.5, -1.0, -1.5]))
    assert trust_ratio(torch.ones(2), torch.zeros(2), 0.0).item() == 1.0


def test_its_state_comes_back() -> None:
    def trained(num_steps: int, optimizer: LARS, weight: torch.nn.Parameter) -> torch.Tensor:
        for step in range(num_steps):
            weight.grad = torch.tensor([1.0, float(step)])
            optimizer.step()
        return weight.detach().clone()

    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    first = LARS([weight], lr=1.0)
    trained(3, first, weight)
    copied = torch.nn.Parameter(weight.detach().clone())
    second = LARS([copied], lr=1.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(trained(2, first, weight), trained(2, second, copied))
