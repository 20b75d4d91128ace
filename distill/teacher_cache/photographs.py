"""The teacher's descriptors of the photographs themselves, from a cache of one unedited view of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.teacher_cache.key import KEY_FILE, CacheKey, check_fits, read_key
from distill.teacher_cache.shards import find_all_records, missing_shards, read_records
from icd_mobile.pictures.collection import open_photos

CACHES_DIR = Path("artifacts/teacher-caches")
STORED_PX = 64  # of the picture beside each descriptor, which nothing reads


def make_photograph_cache(images: Path, teacher: str, input_size_px: int | None, folder: Path | None) -> Path:
    """A cache of one unedited view of each photograph, made, finished or found there; returns its folder.

    Without one it is `CACHES_DIR`, by the teacher and the photographs. With progress; what a stopped one made is kept.

    Raises:
        InputError: photographs that cannot be used, no such teacher, or a cache of others in the folder.
        OutsideError: the teacher's weights are not here and cannot be fetched.
        GateError: its descriptors are not finite.
    """
    from distill.teacher_cache.make import build_cache, cache_key
    from distill.teachers import open_teacher

    photos = open_photos(images).photos
    opened = open_teacher(teacher, input_size_px=input_size_px)
    if folder is None:
        folder = CACHES_DIR / f"{opened.name}-{opened.input_size_px}-{photos.sha256[:12]}"
    build_cache(folder, photos, opened, cache_key(photos, "none", 0, 1, STORED_PX, opened))
    return folder


def is_finished(cache_dir: Path) -> bool:
    """Whether a cache is there with all of its shards."""
    return (cache_dir / KEY_FILE).is_file() and not missing_shards(cache_dir, read_key(cache_dir))


class PhotographDescriptors:
    """By image id; nothing is held in memory."""

    def __init__(self, cache_dir: Path) -> None:
        """Checks every shard's size.

        Raises:
            InputError: no cache there, one that is not finished or is damaged, or one of edited views.
        """
        self.key: CacheKey = read_key(cache_dir)
        check_fits(cache_dir, self.key, augmentation="none", num_views=1)
        self._cache_dir = cache_dir
        self._starts = find_all_records(cache_dir, self.key)

    def __call__(self, image_id: int) -> NDArray[np.float32]:
        """(D,), L2-normalised."""
        (record,) = read_records(self._cache_dir, self.key, image_id, [0], self._starts)
        found: NDArray[np.float32] = record["descriptor"]
        return found
