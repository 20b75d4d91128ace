"""Mixup and CutMix: what each view is made of, in pixels."""

from __future__ import annotations

import numpy as np
import torch

from distill.augmentations.mix import Mix, mix_views


def _views() -> torch.Tensor:
    """Six views, each of one value: 0, 50, ..., 250. The partner of view i is view 5 - i."""
    return (50 * torch.arange(6, dtype=torch.uint8)).view(6, 1, 1, 1).expand(6, 3, 16, 16).clone()


def test_mixup_is_the_weighted_mean_of_a_view_and_its_mirror() -> None:
    views = _views()
    mixed = mix_views(views, Mix(probability=1.0, cutmix_share=0.0), np.random.default_rng(0))
    assert mixed.partners.tolist() == [5, 4, 3, 2, 1, 0]
    for index, own in enumerate(mixed.own_shares.tolist()):
        assert 0 < own < 1
        expected = own * 50 * index + (1 - own) * 50 * (5 - index)
        assert mixed.views[index].unique().tolist() == [round(expected)]
    assert torch.equal(views, _views()), "what is given is not changed"


def test_cutmix_shares_are_counted_in_pixels() -> None:
    for seed in range(20):
        mixed = mix_views(_views(), Mix(probability=1.0, cutmix_share=1.0), np.random.default_rng(seed))
        for index, own in enumerate(mixed.own_shares.tolist()):
            assert set(mixed.views[index].unique().tolist()) <= {50 * index, 50 * (5 - index)}
            num_own = int((mixed.views[index, 0] == 50 * index).sum())
            assert abs(num_own - own * 256) < 1e-3


def test_sscd_numbers_mix_one_view_in_twenty() -> None:
    mix = Mix()
    assert mix == Mix(probability=0.05, mixup_alpha=2.0, cutmix_alpha=2.0, cutmix_share=0.5)
    rng = np.random.default_rng(0)
    views = torch.zeros(1000, 3, 4, 4, dtype=torch.uint8)
    # A CutMix box may be empty at 4 px, so views that are no longer all their own are counted with mixup alone.
    shares = mix_views(views, Mix(cutmix_share=0.0), rng).own_shares
    assert abs(int((shares < 1).sum()) - 50) <= 28  # 4 sqrt(1000 * 0.05 * 0.95)


def test_nothing_is_mixed_at_probability_0() -> None:
    mixed = mix_views(_views(), Mix(probability=0.0), np.random.default_rng(0))
    assert torch.equal(mixed.views, _views())
    assert mixed.own_shares.tolist() == [1.0] * 6
