"""Augmented views of photographs for training: what one batch is, and the dataset that draws it.

A view depends on the seed, the epoch, the photograph and its number alone: not on the worker that draws it, on how
many there are, or on what was drawn before. Pixels leave the loader as uint8; mean and std are the model step's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from distill.augmentations.pipeline import Context, Pipeline, draw_view
from icd_mobile.generators import generator
from icd_mobile.pictures.collection import Photos
from icd_mobile.pictures.preprocessing import Pixels

# The crop of 8 % of the area, 28 % of each side, is still S px or more of an image of 4 S: more is wasted work.
_SIDES = 4


class ViewKey(NamedTuple):
    """What a sampler asks a dataset for: the epoch is part of it, so that workers need not be told of it."""

    epoch: int
    image_id: int


class ImageViews(NamedTuple):
    """V views of one photograph, (V, S, S, 3) uint8; with a teacher cache, its descriptors of them (V, D)."""

    image_id: int
    views: Pixels
    teacher_descriptors: np.ndarray | None


class ViewBatch(NamedTuple):
    """Views (N, V, 3, S, S) uint8, whose `flatten(0, 1)` is channels-last; image ids (N,) int64.

    With a teacher cache, its descriptors of the same views (N, V, D) float32, L2-normalised.
    """

    views: Tensor
    image_ids: Tensor
    teacher_descriptors: Tensor | None


class Views(Dataset[ImageViews]):
    """`num_views` views of a photograph for each epoch: fresh ones, or with `original_view` all but the first."""

    def __init__(
        self,
        photos: Photos,
        pipeline: Pipeline,
        num_views: int,
        size_px: int,
        seed: int,
        *,
        original_view: bool = False,
        describe: Callable[[int], np.ndarray] | None = None,
    ) -> None:
        """`describe` gives a teacher's descriptor (D,) of a photograph by id, which is then that of all its views."""
        self._describe = describe
        self._photos, self._pipeline, self._num_views = photos, pipeline, num_views
        self._size_px, self._seed, self._original_view = size_px, seed, original_view

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, key: ViewKey) -> ImageViews:
        pixels = draw_views(
            self._photos,
            key,
            self._pipeline,
            self._num_views,
            self._size_px,
            self._seed,
            original_view=self._original_view,
        )
        if self._describe is None:
            return ImageViews(key.image_id, pixels, None)
        return ImageViews(key.image_id, pixels, np.tile(self._describe(key.image_id), (self._num_views, 1)))


def draw_views(
    photos: Photos,
    key: ViewKey,
    pipeline: Pipeline,
    num_views: int,
    size_px: int,
    seed: int,
    *,
    original_view: bool = False,
) -> Pixels:
    """(V, S, S, 3) uint8. What is pasted onto or from is another photograph of the collection.

    With `original_view` the first is the photograph as it is, and the others are what they are without.
    """
    photo = _reduced(photos[key.image_id], size_px)

    def other(rng: np.random.Generator) -> Image.Image:
        steps = int(rng.integers(1, len(photos))) if len(photos) > 1 else 0
        return _reduced(photos[(key.image_id + steps) % len(photos)], size_px)

    context = Context(size_px, other)
    return np.stack(
        [
            draw_view(
                () if original_view and view == 0 else pipeline,
                photo,
                generator("view", seed, key.epoch, key.image_id, view),
                context,
            )
            for view in range(num_views)
        ]
    )


def _reduced(photo: Image.Image, size_px: int) -> Image.Image:
    factor = min(photo.size) // (_SIDES * size_px)
    return photo.reduce(factor) if factor > 1 else photo


def collate_views(items: list[ImageViews]) -> ViewBatch:
    """Join the items of a batch."""
    views = torch.from_numpy(np.stack([item.views for item in items]))
    described = [item.teacher_descriptors for item in items if item.teacher_descriptors is not None]
    return ViewBatch(
        views.permute(0, 1, 4, 2, 3),
        torch.tensor([item.image_id for item in items]),
        torch.from_numpy(np.stack(described)) if described else None,
    )
