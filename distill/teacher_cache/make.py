"""Make a teacher cache: K augmented views of each photograph, drawn once, with the teacher's descriptors of them.

It pays where the teacher costs more than the student: on a CPU, or for several students of one teacher.

A view is drawn at the teacher's input size, described, and then reduced to the student's size S: the teacher sees what
it was trained to see, text and compression lie on the picture at a real scale, and the reduction is the one that a
phone does. A view drawn at S and enlarged would give the teacher a blurred picture it never learnt from. Where S is
the larger, the view is drawn at S and the teacher gets it reduced.

The same key gives the same bytes on the same machine, also after a kill: shards appear whole, and those that are there
are kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from distill.augmentations import open_augmentation
from distill.augmentations.views import ViewKey, draw_views
from distill.teacher_cache.key import KEY_FILE, CacheKey, check_fits, read_key, write_key, write_names
from distill.teacher_cache.shards import missing_shards, record_dtype, shard_image_ids, write_shard
from distill.teachers.teacher import Teacher
from icd_mobile.errors import GateError, InputError
from icd_mobile.pictures.collection import Photos
from icd_mobile.pictures.preprocessing import Pixels, to_pixels
from icd_mobile.progress import track_images
from icd_mobile.workers import end_with_parent

_ALIKE = 1e-4  # descriptors of different photographs never come so close, number by number
_PHOTOS_PER_BATCH = 8  # divides a shard, so that a resumed build gives the teacher the same batches


def cache_key(
    photos: Photos,
    augmentation: str,
    seed: int,
    num_views: int,
    size_px: int,
    teacher: Teacher,
    photos_per_shard: int = 256,
) -> CacheKey:
    """What the cache will be known by."""
    return CacheKey(
        photos_sha256=photos.sha256,
        num_photos=len(photos),
        augmentation=augmentation,
        pipeline=repr(open_augmentation(augmentation)),
        seed=seed,
        num_views=num_views,
        size_px=size_px,
        render_size_px=max(size_px, teacher.input_size_px),
        teacher=teacher.name,
        teacher_weights_sha256=teacher.weights_sha256,
        teacher_size_px=teacher.input_size_px,
        descriptor_dim=teacher.descriptor_dim,
        photos_per_shard=photos_per_shard,
    )


def build_cache(
    cache_dir: Path,
    photos: Photos,
    teacher: Teacher,
    key: CacheKey,
    *,
    num_workers: int = 0,
    device: torch.device | None = None,
) -> None:
    """Make the shards that are missing, with the teacher on `device`, the CPU if not given.

    Raises:
        InputError: a cache of another key is there, or the disk has no room.
        GateError: the teacher gives descriptors that are not finite, or describes the first photographs alike.
    """
    if (cache_dir / KEY_FILE).exists():
        found = read_key(cache_dir)
        check_fits(cache_dir, found, **key.model_dump())
        key = found  # which may say less, if an older version made it
    missing = missing_shards(cache_dir, key)
    _check_room(cache_dir, key, missing)
    write_names(cache_dir, [file.name for file in photos.files])
    write_key(cache_dir, key)
    loader = DataLoader(
        _Renders(photos, key),
        batch_sampler=_batches(key, missing),
        num_workers=num_workers,
        collate_fn=_join,
        worker_init_fn=end_with_parent,
    )
    device = device or torch.device("cpu")
    described = _described(loader, photos, teacher.to(device), device)
    num_photos = sum(len(shard_image_ids(key, shard)) for shard in missing)
    records = np.empty((0, key.num_views), record_dtype(key))
    for image_id, views, descriptors in track_images(described, num_photos, "cache-teacher"):
        shard, row = divmod(image_id, key.photos_per_shard)
        if row == 0:
            records = np.empty((len(shard_image_ids(key, shard)), key.num_views), record_dtype(key))
        records["view"][row], records["descriptor"][row] = views, descriptors
        if row + 1 == len(records):
            write_shard(cache_dir, shard, records)


class _Renders(Dataset[tuple[int, Pixels, Pixels]]):
    """A photograph's id and its K views, at the size they are drawn (K, R, R, 3) and at S (K, S, S, 3)."""

    def __init__(self, photos: Photos, key: CacheKey) -> None:
        self._photos, self._key = photos, key
        self._pipeline = open_augmentation(key.augmentation)

    def __getitem__(self, image_id: int) -> tuple[int, Pixels, Pixels]:
        key = self._key
        drawn = draw_views(
            self._photos, ViewKey(0, image_id), self._pipeline, key.num_views, key.render_size_px, key.seed
        )
        if key.render_size_px == key.size_px:
            return image_id, drawn, drawn
        return image_id, drawn, np.stack([to_pixels(Image.fromarray(view), key.size_px) for view in drawn])


def _batches(key: CacheKey, shards: list[int]) -> list[list[int]]:
    ids = [shard_image_ids(key, shard) for shard in shards]
    return [list(of[start : start + _PHOTOS_PER_BATCH]) for of in ids for start in range(0, len(of), _PHOTOS_PER_BATCH)]


def _join(items: list[tuple[int, Pixels, Pixels]]) -> tuple[list[int], Pixels, Pixels]:
    ids, drawn, stored = zip(*items, strict=True)
    return list(ids), np.stack(drawn), np.stack(stored)


def _described(
    loader: DataLoader[tuple[int, Pixels, Pixels]], photos: Photos, teacher: Teacher, device: torch.device
) -> Iterator[tuple[int, Pixels, NDArray[np.float32]]]:
    """For each photograph its id, views (K, S, S, 3) and descriptors (K, D)."""
    for image_ids, drawn, stored in loader:
        descriptors = _describe(teacher, drawn.reshape(-1, *drawn.shape[2:]), device)
        by_photo = descriptors.reshape(len(drawn), -1, descriptors.shape[1])
        if len(drawn) > 1 and np.abs(by_photo - by_photo[:1]).max() < _ALIKE:
            raise GateError(
                f"teacher {teacher.name} describes {len(drawn)} photographs alike, from "
                f"{photos.files[image_ids[0]].name} on; look at them, or give trained weights"
            )
        for image_id, views, of_photo in zip(image_ids, stored, by_photo, strict=True):
            if not np.isfinite(of_photo).all():
                raise GateError(
                    f"teacher {teacher.name} gives descriptors that are not finite for {photos.files[image_id].name}; "
                    "look at that image, or give undamaged weights"
                )
            yield image_id, views, of_photo


def _describe(teacher: Teacher, pixels: Pixels, device: torch.device) -> NDArray[np.float32]:
    """(N, R, R, 3) uint8 -> L2-normalised descriptors (N, D)."""
    size = (teacher.input_size_px, teacher.input_size_px)
    with torch.inference_mode():
        images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255.0
        if images.shape[2:] != size:
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (teacher.mean, teacher.std))
        return teacher.describe((images - mean) / std).cpu().numpy()


def _check_room(cache_dir: Path, key: CacheKey, missing: list[int]) -> None:
    num_photos = sum(len(shard_image_ids(key, shard)) for shard in missing)
    needed = num_photos * key.num_views * record_dtype(key).itemsize
    existing = next(parent for parent in (cache_dir, *cache_dir.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"the cache needs {needed / 1e6:,.1f} MB at {cache_dir}, {free / 1e6:,.1f} MB are free; free some, or "
            "choose another --out, fewer --views or a smaller --size"
        )
