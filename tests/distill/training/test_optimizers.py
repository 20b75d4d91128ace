"""Learning rates worked by hand, and which tensors are decayed."""

from __future__ import annotations

import pytest
import torch

from distill.configs.config import OptimizerConfig
from distill.training.lars import LARS
from distill.training.optimizers import build_optimizer, learning_rate, set_learning_rate


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    """Peak 1, 2 warm-up steps of 6: 1/2, 1, then 0.5 * (1 + cos(pi * k / 4)) for k = 0..3."""
    rates = [learning_rate(step, num_steps=6, num_warmup_steps=2, peak=1.0) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_the_rate_without_warm_up_begins_at_the_peak_and_ends_at_zero() -> None:
    assert learning_rate(0, 10, 0, 0.3) == pytest.approx(0.3)
    assert learning_rate(10, 10, 0, 0.3) == pytest.approx(0.0)
    assert learning_rate(99, 10, 0, 0.3) == pytest.approx(0.0)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_vectors_are_not_decayed(name: str) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(model, OptimizerConfig(name=name, lr=0.1, weight_decay=0.5))  # type: ignore[arg-type]
    decays = {tuple(group["params"][0].shape): group["weight_decay"] for group in optimizer.param_groups}
    assert decays == {(2, 3): 0.5, (2,): 0.0}


def test_frozen_tensors_are_left_out_and_lars_takes_the_rest_alike() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig(name="lars", lr=0.1, momentum=0.8, weight_decay=1e-6))
    assert isinstance(optimizer, LARS)
    (group,) = optimizer.param_groups
    assert [tuple(weight.shape) for weight in group["params"]] == [(2, 3)]
    assert (group["momentum"], group["weight_decay"]) == (0.8, 1e-6)
    set_learning_rate(optimizer, 0.25)
    assert group["lr"] == 0.25
