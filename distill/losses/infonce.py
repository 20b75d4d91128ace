"""InfoNCE as SSCD writes it: the denominator of a positive holds that positive and the negatives, no other positive.

Source: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, and its code.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean
from distill.losses.pairs import match_masks
from distill.losses.precision import in_float32


class InfoNCE(nn.Module):
    """mean_i mean_p -log(exp(s_ip / T) / (exp(s_ip / T) + sum_n exp(s_in / T))), p positives of i, n its negatives.

    A row without a positive in the batch is left out of the mean.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, temperature: float = 0.05) -> None:
        """Temperature as SSCD.

        Raises:
            InputError: the temperature is not above 0.
        """
        super().__init__()
        check_above("infonce: temperature", temperature, 0.0)
        self.temperature = temperature

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        positives, negatives = match_masks(batch.image_ids)
        logits = batch.descriptors @ gather_rows(batch.descriptors).T / self.temperature
        # The least finite number: a row without negatives then has a loss and gradients of 0, not NaN.
        of_negatives = logits.masked_fill(~negatives, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)
        terms = F.softplus(of_negatives - logits).masked_fill(~positives, 0.0)
        num_positives = positives.sum(dim=1)
        return global_mean(terms.sum(dim=1) / num_positives.clamp(min=1), num_positives > 0)
