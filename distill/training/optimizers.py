"""Optimisers by name, and the learning rate of each step: linear warm-up, then half a cosine to zero.

The rate is a function of the step alone, so a run that resumes has no schedule to restore.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from distill.configs.config import OptimizerConfig
from distill.training.lars import LARS


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser over the parameters that train.

    Vectors (biases, normalisation) are not decayed by SGD and AdamW; LARS takes all alike, as SSCD's did.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "lars":
        return LARS(trained, config.lr, config.momentum, config.weight_decay)
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [vector for vector in trained if vector.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, config.lr, config.momentum)
    return torch.optim.AdamW(groups, config.lr)


def learning_rate(step: int, num_steps: int, num_warmup_steps: int, peak: float) -> float:
    """The rate of a step counted from 0: rises linearly to `peak` over the warm-up, then falls as a cosine.

    Source: Loshchilov and Hutter, "SGDR", 2017, one cycle; warm-up as Goyal et al., 2017.
    """
    if step < num_warmup_steps:
        return peak * (step + 1) / num_warmup_steps
    progress = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the rate."""
    groups: Iterable[dict[str, object]] = optimizer.param_groups
    for group in groups:
        group["lr"] = rate
