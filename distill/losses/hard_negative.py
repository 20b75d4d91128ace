"""Hard negative: push each descriptor from its nearest one in a bank of past descriptors of other images.

Source: RDCD (Kim, Woo and Nang, "Relational Self-supervised Distillation with Compact Descriptors for Image Copy
Detection", WACV 2025; weight 5). There the bank holds descriptors of a momentum copy of the student; here those of the
student itself, as in cross-batch memory (Wang et al., 2020). RDCD does not look whether the nearest is the same image:
with fewer images than places in the bank it often is, so the bank here keeps ids.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from distill.losses.bank import Bank
from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean
from distill.losses.pairs import shares_image
from distill.losses.precision import in_float32


class HardNegative(nn.Module):
    """-mean_i log(max(1 - max_j s_i . n_j, floor)), n_j the bank's descriptors of other images than row i's.

    A row without one is left out: the first step has a loss of 0. A row nearer than the floor has no gradient.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, bank_size: int = 65_536, floor: float = 1e-3) -> None:
        """Numbers as RDCD.

        Raises:
            InputError: no bank, or a floor not above 0.
        """
        super().__init__()
        check_above("hard_negative: floor", floor, 0.0)
        self.floor = floor
        self.bank = Bank(bank_size)
        self.bank_ids = Bank(bank_size)

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        loss = self._loss(batch.descriptors, batch.sources())
        if self.training:
            self.bank.push(gather_rows(batch.descriptors.detach()))
            self.bank_ids.push(gather_rows(batch.sources()))
        return loss

    def _loss(self, descriptors: Tensor, sources: Tensor) -> Tensor:
        held = self.bank.filled()
        if not len(held):
            return descriptors.sum() * 0.0
        other_image = ~shares_image(sources, self.bank_ids.filled())
        with torch.no_grad():
            nearest = (descriptors @ held.T).masked_fill(~other_image, -torch.inf).argmax(dim=1)
        # 1 - cosine, from the difference of unit vectors: 1 minus their product has no digits left for a close pair.
        distances = 0.5 * (descriptors - held[nearest]).square().sum(dim=1)
        return global_mean(-distances.clamp(min=self.floor).log(), other_image.any(dim=1))
