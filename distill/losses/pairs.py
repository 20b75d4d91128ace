"""Which rows of all processes match a row of this one."""

from __future__ import annotations

import torch
from torch import Tensor

from distill.losses.gather import gather_rows, own_columns


def match_masks(image_ids: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) ids -> positives and negatives (N, W * N) bool, this process's rows by those of all.

    A positive is another view of the same image, a negative is any view of another image; a row itself is neither.
    """
    same_image = image_ids[:, None] == gather_rows(image_ids)
    itself = torch.zeros_like(same_image)
    itself[torch.arange(len(image_ids), device=image_ids.device), own_columns(image_ids)] = True
    return same_image & ~itself, ~same_image
