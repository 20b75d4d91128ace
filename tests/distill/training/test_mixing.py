"""Mixup and CutMix: which pixels come from which view, and which photographs a mixed view counts as a copy of."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.augmentations.views import ViewBatch
from distill.configs.config import MixingConfig
from distill.training.mixing import draw_box, mix_views

SIDE = 8


def _batch(num_images: int = 4, num_views: int = 2) -> ViewBatch:
    """Every view of one grey: 10 times its row; image ids 100, 101, ..."""
    greys = 10 * torch.arange(num_images * num_views, dtype=torch.uint8).view(num_images, num_views, 1, 1, 1)
    return ViewBatch(greys.expand(-1, -1, 3, SIDE, SIDE).clone(), 100 + torch.arange(num_images), None)


def test_mixup_adds_the_view_at_the_other_end_by_the_drawn_share() -> None:
    batch = _batch()
    views, ids = mix_views(batch, MixingConfig(share=1.0, cutmix_share=0.0), np.random.default_rng(0))
    for row, view in enumerate(views.flatten(0, 1)):
        grey = int(view.unique())  # one grey: every pixel has the same share
        assert min(10 * row, 70 - 10 * row) <= grey <= max(10 * row, 70 - 10 * row)
    assert ids.tolist() == [[103, 103], [102, 102], [101, 101], [100, 100]]
    assert batch.views.equal(_batch().views), "the batch itself is left alone"


def test_cutmix_pastes_a_box_of_the_view_at_the_other_end() -> None:
    views, _ = mix_views(_batch(), MixingConfig(share=1.0, cutmix_share=1.0), np.random.default_rng(0))
    for row, view in enumerate(views.flatten(0, 1)):
        assert set(view.unique().tolist()) <= {10 * row, 70 - 10 * row}
        pasted = view[0] == 70 - 10 * row
        down, across = pasted.any(dim=1).nonzero().flatten(), pasted.any(dim=0).nonzero().flatten()
        assert pasted[down[0] : down[-1] + 1, across[0] : across[-1] + 1].all(), "a rectangle"


def test_a_view_that_is_not_mixed_keeps_pixels_and_id() -> None:
    batch = _batch(num_images=50)
    views, ids = mix_views(batch, MixingConfig(share=0.2), np.random.default_rng(1))
    same = (ids == batch.image_ids[:, None]).flatten()
    assert 60 <= int(same.sum()) <= 95, "four fifths of a hundred"
    assert views.flatten(0, 1)[same].equal(batch.views.flatten(0, 1)[same])


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 1), st.integers(0, 99))
def test_a_box_lies_inside_and_is_no_larger_than_asked(height: int, width: int, share: float, seed: int) -> None:
    top, bottom, left, right = draw_box(height, width, share, np.random.default_rng(seed))
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    side = (1 - share) ** 0.5
    assert bottom - top <= side * height + 1
    assert right - left <= side * width + 1
