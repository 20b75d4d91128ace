"""Which rows of all processes match a row of this one: those that show something of the same photograph."""

from __future__ import annotations

import torch
from torch import Tensor

from distill.losses.gather import gather_rows, own_columns


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
