"""InfoNCE as SSCD writes it: the denominator of a positive holds that positive and the negatives, no other positive.

Sources: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, and its code; the bank of
negatives from past steps: Wang et al., "Cross-Batch Memory for Embedding Learning", 2020.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from distill.losses.bank import Bank
from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows
from distill.losses.pairs import contrast, match_masks, shares_image
from distill.losses.precision import in_float32


class InfoNCE(nn.Module):
    """mean_i mean_p -log(exp(s_ip / T) / (exp(s_ip / T) + sum_n exp(s_in / T))), p positives of i, n its negatives.

    A row without a positive in the batch is left out of the mean. With a bank, the descriptors of past steps are
    negatives too, but for those of the row's own image: a batch that fits a laptop then has as many negatives as one of
    a cluster, at the price of a few steps' age.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, temperature: float = 0.05, bank_size: int = 0) -> None:
        """Temperature as SSCD, which has no bank: 0.

        Raises:
            InputError: the temperature is not above 0, or a bank of less than no rows.
        """
        super().__init__()
        check_above("infonce: temperature", temperature, 0.0)
        self.temperature = temperature
        self.bank = Bank(bank_size) if bank_size else None
        self.bank_ids = Bank(bank_size) if bank_size else None

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        sources, rows = batch.sources(), gather_rows(batch.descriptors)
        positives, negatives = match_masks(sources)
        held = rows
        if self.bank is not None and self.bank_ids is not None and self.bank.rows.numel():
            held = torch.cat([rows, self.bank.filled()])  # a copy: the bank changes before the backward pass
            negatives = torch.cat([negatives, ~shares_image(sources, self.bank_ids.filled())], dim=1)
        loss = contrast(batch.descriptors @ held.T / self.temperature, positives, negatives)
        if self.training and self.bank is not None and self.bank_ids is not None:
            self.bank.push(rows)
            self.bank_ids.push(gather_rows(sources))
        return loss
