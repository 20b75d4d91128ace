"""Mixup and CutMix of the views of a batch: what is mixed shows two photographs, and is a copy of both.

Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; Yun et al., "CutMix", 2019; for copy detection
Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, whose numbers are the defaults.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distill.augmentations.views import ViewBatch
from distill.configs.config import MixingConfig


def mix_views(batch: ViewBatch, config: MixingConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Views (N, V, 3, S, S) uint8, some mixed, and the ids (N, V) of what is mixed in, their own where nothing is.

    A view is mixed with the one as far from the batch's other end, as it was before any was mixed.
    """
    rows = batch.views.flatten(0, 1)
    ids = batch.image_ids.repeat_interleave(batch.views.shape[1])
    mixed, mixed_ids = rows.clone(), ids.clone()
    for row in np.flatnonzero(rng.random(len(rows)) < config.share).tolist():
        partner = len(rows) - 1 - row
        share = float(rng.beta(config.alpha, config.alpha))  # of the view itself
        if rng.random() < config.cutmix_share:
            top, bottom, left, right = draw_box(rows.shape[2], rows.shape[3], share, rng)
            mixed[row, :, top:bottom, left:right] = rows[partner, :, top:bottom, left:right]
        else:
            mixed[row] = torch.lerp(rows[partner].float(), rows[row].float(), share).round().to(torch.uint8)
        mixed_ids[row] = ids[partner]
    return mixed.unflatten(0, batch.views.shape[:2]), mixed_ids.unflatten(0, batch.views.shape[:2])


def draw_box(height: int, width: int, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a box of 1 - share of the area, around any point and cut off at the edges."""
    side = (1.0 - share) ** 0.5
    middle_y, middle_x = int(rng.integers(height)), int(rng.integers(width))
    half_height, half_width = round(side * height / 2), round(side * width / 2)
    return (
        max(0, middle_y - half_height),
        min(height, middle_y + half_height),
        max(0, middle_x - half_width),
        min(width, middle_x + half_width),
    )
