"""The teacher's descriptors of the photographs themselves, from a cache of one unedited view of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.teacher_cache.key import CacheKey, check_fits, read_key
from distill.teacher_cache.shards import count_shards, find_records, missing_shards, read_records
from icd_mobile.errors import InputError


class PhotographDescriptors:
    """By image id; nothing is held in memory."""

    def __init__(self, cache_dir: Path) -> None:
        """Checks every shard's size.

        Raises:
            InputError: no cache there, one that is not finished or is damaged, or one of edited views.
        """
        self.key: CacheKey = read_key(cache_dir)
        check_fits(cache_dir, self.key, augmentation="none", num_views=1)
        missing = missing_shards(cache_dir, self.key)
        if missing:
            raise InputError(
                f"the teacher cache at {cache_dir} lacks {len(missing):,} of {count_shards(self.key):,} shards; "
                "run the same cache-teacher command again to finish it"
            )
        self._cache_dir = cache_dir
        self._starts = [find_records(cache_dir, self.key, shard) for shard in range(count_shards(self.key))]

    def __call__(self, image_id: int) -> NDArray[np.float32]:
        """(D,), L2-normalised."""
        (record,) = read_records(self._cache_dir, self.key, image_id, [0], self._starts)
        found: NDArray[np.float32] = record["descriptor"]
        return found
