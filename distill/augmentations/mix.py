"""Mixup and CutMix on a batch of views, as SSCD trains with them.

Source: Zhang et al., "mixup", 2018; Yun et al., "CutMix", 2019; SSCD's numbers: probability 0.05 for each view, both
Beta parameters 2, one or the other at even odds, the partner being the view at the mirrored place of the batch.

A mixed view has no descriptor in a teacher cache: mix where the teacher describes the mixed views itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """Settings; the defaults are SSCD's."""

    probability: float = 0.05
    mixup_alpha: float = 2.0
    cutmix_alpha: float = 2.0
    cutmix_share: float = 0.5  # of the mixed views


@dataclass(frozen=True)
class MixedViews:
    """Views (N, 3, S, S) uint8, the partner of each (N,), and how much of the view is its own (N,), 1 where unmixed."""

    views: Tensor
    partners: Tensor
    own_shares: Tensor


def mix_views(views: Tensor, mix: Mix, rng: np.random.Generator) -> MixedViews:
    """Mix some of (N, 3, S, S) uint8 views, each with the one at the mirrored place; what is given is not changed."""
    num_views, _, height, width = views.shape
    mixed = views.clone()
    own_shares = torch.ones(num_views)
    for index in np.flatnonzero(rng.random(num_views) < mix.probability).tolist():
        partner = views[num_views - 1 - index]
        if rng.random() < mix.cutmix_share:
            top, bottom, left, right = _box(height, width, rng.beta(mix.cutmix_alpha, mix.cutmix_alpha), rng)
            mixed[index, :, top:bottom, left:right] = partner[:, top:bottom, left:right]
            own_shares[index] = 1 - (bottom - top) * (right - left) / (height * width)
        else:
            own = float(rng.beta(mix.mixup_alpha, mix.mixup_alpha))
            mixed[index] = (own * views[index].float() + (1 - own) * partner.float()).round().to(views.dtype)
            own_shares[index] = own
    partners = torch.arange(num_views - 1, -1, -1, device=views.device)
    return MixedViews(mixed, partners, own_shares.to(views.device))


def _box(height: int, width: int, own: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a box of the share 1 - own around any centre, cut off at the border."""
    side = float(np.sqrt(1 - own))
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    y, x = int(rng.integers(height)), int(rng.integers(width))
    return max(0, y - half_height), min(height, y + half_height), max(0, x - half_width), min(width, x + half_width)
