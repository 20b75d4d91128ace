"""The shards of a teacher cache: one .npy file for some hundred photographs, each view beside its descriptor.

Pixels are stored raw, not as JPEG: exact, and nothing to decode. What either costs in time and disk, measured, stands
in `docs/augmentations.md`. A view is read by its place in the file, which is opened for it: no file stays open and
nothing is shared between processes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.teacher_cache.key import CacheKey
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

Records = NDArray[np.void]


def record_dtype(key: CacheKey) -> np.dtype[np.void]:
    """`view` (S, S, 3) uint8 and `descriptor` (D,) float32."""
    pixels = ("view", np.uint8, (key.size_px, key.size_px, 3))
    return np.dtype([pixels, ("descriptor", "<f4", (key.descriptor_dim,))])


def count_shards(key: CacheKey) -> int:
    """Files of the whole cache."""
    return -(-key.num_photos // key.photos_per_shard)


def shard_image_ids(key: CacheKey, shard: int) -> range:
    """The photographs of a shard."""
    first = shard * key.photos_per_shard
    return range(first, min(key.num_photos, first + key.photos_per_shard))


def shard_path(cache_dir: Path, shard: int) -> Path:
    """Where a shard stands."""
    return cache_dir / f"shard-{shard:05d}.npy"


def missing_shards(cache_dir: Path, key: CacheKey) -> list[int]:
    """Those that are yet to be made."""
    return [shard for shard in range(count_shards(key)) if not shard_path(cache_dir, shard).is_file()]


def write_shard(cache_dir: Path, shard: int, records: Records) -> None:
    """(n, K) records, whole or not at all."""
    with whole_file(shard_path(cache_dir, shard)) as temporary, temporary.open("wb") as file:
        np.save(file, records, allow_pickle=False)


def find_records(cache_dir: Path, key: CacheKey, shard: int) -> int:
    """Where in a shard's file its records begin, in bytes.

    Raises:
        InputError: truncated, or not of this cache.
    """
    path = shard_path(cache_dir, shard)
    shape = (len(shard_image_ids(key, shard)), key.num_views)
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("another version of .npy")
            found_shape, _, found_dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and run the same cache-teacher again") from error
    num_bytes = path.stat().st_size - start
    if (found_shape, found_dtype) != (shape, record_dtype(key)) or num_bytes != np.prod(shape) * found_dtype.itemsize:
        raise InputError(f"{path} is truncated or of another cache; delete it and run the same cache-teacher again")
    return start


def find_all_records(cache_dir: Path, key: CacheKey) -> list[int]:
    """`find_records` of every shard.

    Raises:
        InputError: the cache is not finished, or damaged.
    """
    missing = missing_shards(cache_dir, key)
    if missing:
        raise InputError(
            f"the teacher cache at {cache_dir} lacks {len(missing):,} of {count_shards(key):,} shards; "
            "run the same cache-teacher command again to finish it"
        )
    return [find_records(cache_dir, key, shard) for shard in range(count_shards(key))]


def read_records(cache_dir: Path, key: CacheKey, image_id: int, views: list[int], starts: list[int]) -> Records:
    """(V,) records of a photograph's views by number; `starts` has `find_records` of every shard."""
    shard, row = divmod(image_id, key.photos_per_shard)
    dtype = record_dtype(key)
    content = np.empty((len(views), dtype.itemsize), np.uint8)
    with shard_path(cache_dir, shard).open("rb", buffering=0) as file:
        for index, view in enumerate(views):
            file.seek(starts[shard] + (row * key.num_views + view) * dtype.itemsize)
            if file.readinto(content[index]) != dtype.itemsize:
                raise InputError(f"{shard_path(cache_dir, shard)} changed while it was in use; start again")
    return content.view(dtype)[:, 0]
