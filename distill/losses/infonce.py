"""InfoNCE as SSCD writes it: the denominator of a positive holds that positive and the negatives, no other positive.

Sources: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, and its code; the bank of
negatives from past steps: Wang et al., "Cross-Batch Memory for Embedding Learning", 2020.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.bank import Bank
from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean
from distill.losses.pairs import match_masks, shares_image
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
        positives, negatives = match_masks(batch.sources())
        rows = gather_rows(batch.descriptors)
        logits = batch.descriptors @ rows.T / self.temperature
        # The least finite number: a row without negatives then has a loss and gradients of 0, not NaN.
        of_negatives = logits.masked_fill(~negatives, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)
        if self.bank is not None and self.bank_ids is not None:
            of_negatives = torch.logaddexp(of_negatives, self._of_bank(batch, self.bank, self.bank_ids))
            if self.training:
                self.bank.push(rows)
                self.bank_ids.push(gather_rows(batch.sources()))
        terms = F.softplus(of_negatives - logits).masked_fill(~positives, 0.0)
        num_positives = positives.sum(dim=1)
        return global_mean(terms.sum(dim=1) / num_positives.clamp(min=1), num_positives > 0)

    def _of_bank(self, batch: Batch, bank: Bank, ids: Bank) -> Tensor:
        """(N, 1) log of the summed exp(s / T) over past rows of other images."""
        if not bank.rows.numel():
            return batch.descriptors.new_full((len(batch.descriptors), 1), torch.finfo(batch.descriptors.dtype).min)
        # A copy: the bank changes before the backward pass.
        logits = batch.descriptors @ bank.filled().clone().T / self.temperature
        own = shares_image(batch.sources(), ids.filled())
        return logits.masked_fill(own, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)
