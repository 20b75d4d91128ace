"""Which rows of all processes match a row of this one: those that show something of the same photograph."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor

from distill.losses.gather import gather_rows, global_mean, own_columns


def shares_image(sources: Tensor, others: Tensor) -> Tensor:
    """(N, S) and (R, S) ids of photographs -> (N, R) bool, whether two views have one in common."""
    return (sources[:, None, :, None] == others[None, :, None, :]).flatten(2).any(dim=2)


def match_masks(sources: Tensor) -> tuple[Tensor, Tensor]:
    """(N, S) ids -> positives and negatives (N, W * N) bool, this process's rows by those of all.

    A positive shares a photograph, a negative does not; a row itself is neither.
    """
    same_image = shares_image(sources, gather_rows(sources))
    itself = torch.zeros_like(same_image)
    itself[torch.arange(len(sources), device=sources.device), own_columns(sources)] = True
    return same_image & ~itself, ~same_image


def contrast(logits: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """mean_i mean_p -log(e^l_ip / (e^l_ip + sum_n e^l_in)), over the rows that have a positive.

    `logits` and `negatives` are (N, H); `positives` is (N, P), of the first P columns.
    """
    # The least finite number: a row without negatives then has a loss and gradients of 0, not NaN.
    of_negatives = logits.masked_fill(~negatives, torch.finfo(logits.dtype).min).logsumexp(dim=1, keepdim=True)
    terms = F.softplus(of_negatives - logits[:, : positives.shape[1]]).masked_fill(~positives, 0.0)
    num_positives = positives.sum(dim=1)
    return global_mean(terms.sum(dim=1) / num_positives.clamp(min=1), num_positives > 0)
