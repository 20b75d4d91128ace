"""A view depends on seed, epoch, photograph and number alone; a batch on seed and step alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from distill.augmentations import open_augmentation
from distill.augmentations.pipeline import Context, Step
from distill.augmentations.views import ViewBatch, ViewKey, Views, collate_views, draw_views
from distill.training.sampling import BatchSampler
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.collection import Photos, open_photos
from icd_mobile.pictures.preprocessing import to_pixels


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(7):
        procedural_picture(seed, (40 + seed, 30)).save(folder / f"{seed}.png")
    return open_photos(folder).photos


def _batches(photos: Photos, num_workers: int, num_epochs: int = 2, start_step: int = 0) -> list[ViewBatch]:
    views = Views(photos, open_augmentation("copy"), num_views=2, size_px=32, seed=3)
    sampler = BatchSampler(len(photos), 3, num_epochs, seed=3, start_step=start_step)
    return list(DataLoader(views, batch_sampler=sampler, num_workers=num_workers, collate_fn=collate_views))


def _same(first: list[ViewBatch], second: list[ViewBatch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.views, b.views) and torch.equal(a.image_ids, b.image_ids)
        for a, b in zip(first, second, strict=True)
    )


def test_batches_are_the_same_for_any_number_of_workers(photos: Photos) -> None:
    alone = _batches(photos, 0)
    assert len(alone) == 4  # two epochs of seven photographs, three in a batch
    assert _same(alone, _batches(photos, 2))


def test_a_run_that_goes_on_from_a_step_sees_the_rest(photos: Photos) -> None:
    assert _same(_batches(photos, 0)[3:], _batches(photos, 0, start_step=3))


def test_a_batch_is_uint8_and_flattens_to_channels_last(photos: Photos) -> None:
    batch = _batches(photos, 0)[0]
    assert batch.views.shape == (3, 2, 3, 32, 32)
    assert batch.views.dtype == torch.uint8
    flat = batch.views.flatten(0, 1)
    assert flat.is_contiguous(memory_format=torch.channels_last)
    assert flat.data_ptr() == batch.views.data_ptr(), "flattening copies nothing"
    assert batch.teacher_descriptors is None
    drawn = draw_views(photos, ViewKey(0, int(batch.image_ids[1])), open_augmentation("copy"), 2, 32, 3)
    assert np.array_equal(batch.views[1, 0].permute(1, 2, 0), drawn[0])


def test_views_differ_by_seed_epoch_and_number(photos: Photos) -> None:
    pipeline = open_augmentation("advanced")
    views = [
        draw_views(photos, ViewKey(epoch, 0), pipeline, 2, 32, seed)[view].tobytes()
        for seed in range(2)
        for epoch in range(2)
        for view in range(2)
    ]
    assert len(set(views)) == 8


def test_what_is_pasted_is_another_photograph(photos: Photos) -> None:
    widths: set[int] = set()

    def paste(image, rng, context: Context):  # type: ignore[no-untyped-def]
        widths.add(context.other(rng).width)
        return image

    draw_views(photos, ViewKey(0, 2), (Step(1.0, paste),), 100, 32, 0)
    assert widths == {40, 41, 43, 44, 45, 46}  # photograph 2 is 42 px wide


def test_a_large_photograph_is_reduced_before_its_views(tmp_path: Path) -> None:
    """At S = 32 the shorter side of 300 px is reduced by 300 // 128 = 2, and 255 by 1."""
    sizes = []

    def look(image, _rng, _context):  # type: ignore[no-untyped-def]
        sizes.append(image.size)
        return image

    procedural_picture(0, (400, 300)).save(tmp_path / "large.png")
    procedural_picture(0, (400, 255)).save(tmp_path / "small.png")
    photos = open_photos(tmp_path).photos
    for image_id in range(2):
        draw_views(photos, ViewKey(0, image_id), (Step(1.0, look),), 1, 32, 0)
    assert sizes == [(200, 150), (400, 255)]


def test_an_epoch_has_every_photograph_at_most_once_in_an_order_of_its_own() -> None:
    batches = list(BatchSampler(10, 5, 2, seed=0))
    epochs = [[key for batch in batches[start : start + 2] for key in batch] for start in (0, 2)]
    for epoch, keys in enumerate(epochs):
        assert {key.epoch for key in keys} == {epoch}
        assert sorted(key.image_id for key in keys) == list(range(10))
    assert [key.image_id for key in epochs[0]] != [key.image_id for key in epochs[1]]


def test_processes_share_each_batch_out() -> None:
    whole = list(BatchSampler(13, 4, 2, seed=1))
    parts = [list(BatchSampler(13, 4, 2, seed=1, rank=rank, num_ranks=2)) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    assert len(BatchSampler(13, 4, 2, seed=1, start_step=5)) == 1  # three whole batches an epoch
    assert list(BatchSampler(13, 4, 2, seed=1, start_step=5)) == list(islice(whole, 5, None))


@pytest.mark.parametrize(
    ("num_images", "num_ranks", "message"),
    [(3, 1, "a batch takes 4 images, got 3"), (8, 3, "a batch of 4 images does not divide over 3 processes")],
)
def test_an_impossible_batch_is_refused(num_images: int, num_ranks: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BatchSampler(num_images, 4, 1, seed=0, num_ranks=num_ranks)


def test_an_original_view_is_the_photograph_and_leaves_the_others_as_they_are(photos: Photos) -> None:
    key, pipeline = ViewKey(1, 4), open_augmentation("copy")
    edited = draw_views(photos, key, pipeline, 3, 32, seed=0)
    with_original = draw_views(photos, key, pipeline, 3, 32, seed=0, original_view=True)
    assert np.array_equal(with_original[0], to_pixels(photos[4], 32))
    assert np.array_equal(with_original[1:], edited[1:])
