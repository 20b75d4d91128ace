"""LARS: SGD with momentum whose step is scaled, tensor by tensor, by the ratio of the weight's norm to the gradient's.

Source: You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017, in the form that SSCD and
kd_icd were trained with: the trust ratio scales the decayed gradient before momentum, and a tensor whose weight or
gradient is all zero (a bias at its start) takes a plain step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

TRUST_COEFFICIENT = 0.001
_EPSILON = 1e-8


class LARS(torch.optim.Optimizer):
    """v = momentum * v + ratio * (g + weight_decay * w); w = w - lr * v."""

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; `closure`, where there is one, is evaluated first with gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step_one(weight, weight.grad, group["lr"], group["momentum"], group["weight_decay"])
        return loss

    def _step_one(self, weight: Tensor, gradient: Tensor, lr: float, momentum: float, weight_decay: float) -> None:
        scaled = (gradient + weight_decay * weight) * trust_ratio(weight, gradient, weight_decay)
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity: Tensor = state["momentum_buffer"]
        velocity.mul_(momentum).add_(scaled)
        weight.add_(velocity, alpha=-lr)


def trust_ratio(weight: Tensor, gradient: Tensor, weight_decay: float) -> Tensor:
    """0.001 * |w| / (|g| + weight_decay * |w|), or 1 where either norm is zero; a scalar on the weight's device."""
    weight_norm, gradient_norm = weight.norm(), gradient.norm()
    ratio = TRUST_COEFFICIENT * weight_norm / (gradient_norm + weight_decay * weight_norm + _EPSILON)
    return torch.where((weight_norm > 0) & (gradient_norm > 0), ratio, torch.ones_like(ratio))
