"""Training on a teacher cache: in each epoch V of the K views of a photograph, with the teacher's descriptors."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import Dataset

from distill.augmentations.views import ImageViews, ViewKey
from distill.teacher_cache.key import CacheKey, read_key
from distill.teacher_cache.shards import find_all_records, read_records
from icd_mobile.errors import InputError
from icd_mobile.generators import generator


class CachedViews(Dataset[ImageViews]):
    """`num_views` of the stored views: over K / V epochs every view comes once, then they are paired anew."""

    def __init__(self, cache_dir: Path, num_views: int, seed: int) -> None:
        """Checks every shard's size; no view is read.

        Raises:
            InputError: no cache there, one that is not finished or is damaged, or fewer than V views in it.
        """
        self.key: CacheKey = read_key(cache_dir)
        self._starts = find_all_records(cache_dir, self.key)
        if num_views > self.key.num_views:
            raise InputError(
                f"the teacher cache at {cache_dir} has {self.key.num_views} views a photograph, {num_views} are asked "
                "for; make one with more --views, or ask for fewer"
            )
        self._cache_dir, self._num_views, self._seed = cache_dir, num_views, seed

    def __len__(self) -> int:
        return self.key.num_photos

    def __getitem__(self, key: ViewKey) -> ImageViews:
        views = choose_views(self.key.num_views, self._num_views, self._seed, key)
        records = read_records(self._cache_dir, self.key, key.image_id, views, self._starts)
        return ImageViews(key.image_id, records["view"], records["descriptor"])


def choose_views(num_stored: int, num_views: int, seed: int, key: ViewKey) -> list[int]:
    """The numbers of V different views out of K for a photograph in an epoch."""
    epochs_a_round = num_stored // num_views
    round_number, turn = divmod(key.epoch, epochs_a_round)
    order: list[int] = generator("choice", seed, round_number, key.image_id).permutation(num_stored).tolist()
    return order[turn * num_views : (turn + 1) * num_views]
