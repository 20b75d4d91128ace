"""The weighted sum of losses that a recipe is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from distill.losses.batch import Batch, Dims, Loss, check_above
from icd_mobile.errors import InputError


class WeightedLosses(nn.Module):
    """Losses by name, with a weight each; their banks are in its state dict."""

    def __init__(self, parts: Sequence[tuple[str, float, nn.Module]]) -> None:
        """From (name, weight, loss), the loss made by `distill.losses.build_loss`.

        Raises:
            InputError: no loss, the same one twice, or a weight that is not a finite number above 0.
        """
        super().__init__()
        if not parts:
            raise InputError("a recipe needs one loss or more, got none; name one under losses")
        names = [name for name, _, _ in parts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"a recipe has each loss once, got {', '.join(twice)} twice; keep one of them")
        for name, weight, _ in parts:
            check_above(f"the weight of loss {name}", weight, 0.0)
        self.weights = {name: float(weight) for name, weight, _ in parts}
        self.losses = nn.ModuleDict({name: loss for name, _, loss in parts})

    def _each(self) -> Iterator[tuple[str, Loss]]:
        for name, loss in self.losses.items():
            yield name, cast(Loss, loss)

    @property
    def needs_teacher(self) -> bool:
        """Whether one of them does."""
        return any(loss.needs_teacher for _, loss in self._each())

    def check(self, dims: Dims) -> None:
        """Refuse, before anything is trained, what one of the losses cannot work with.

        Raises:
            InputError: a teacher or other dimensions are needed.
        """
        for name, loss in self._each():
            if loss.needs_teacher and dims.teacher is None:
                raise InputError(f"loss {name} needs a teacher, got none; name one, or take out that loss")
            loss.check(dims)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The total, with gradient, and each loss before its weight, without."""
        parts = {name: loss(batch) for name, loss in self._each()}
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}
