"""What a teacher cache was made of, as its `cache.json` says it; a cache that does not fit a run is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.strict import Strict

SCHEMA_VERSION = 1  # 1: first
KEY_FILE, NAMES_FILE = "cache.json", "photographs.json"
_NAMES = pydantic.TypeAdapter(list[str])


class CacheKey(Strict):
    """Two caches of the same key hold the same bytes."""

    schema_version: int = SCHEMA_VERSION
    photos_sha256: str
    num_photos: int
    augmentation: str
    pipeline: str  # every step with its numbers
    seed: int
    num_views: int  # K, of each photograph
    size_px: int  # S, the side that is stored
    render_size_px: int  # the side that the views were drawn at, and the teacher's, where it is larger
    teacher: str
    teacher_weights_sha256: str
    teacher_size_px: int | None = None  # the side of the pictures it saw; None in a cache made before this was kept
    descriptor_dim: int
    photos_per_shard: int


def read_key(cache_dir: Path) -> CacheKey:
    """The key of a cache.

    Raises:
        InputError: no cache there, a newer one, or a damaged one.
    """
    path = cache_dir / KEY_FILE
    if not path.is_file():
        raise InputError(f"no teacher cache at {cache_dir}; make one with `python -m distill cache-teacher`")
    try:
        key = CacheKey.model_validate_json(path.read_bytes())
    except ValueError as error:  # pydantic's ValidationError is one
        reason = "; ".join(str(error).splitlines()[1:3]) or str(error)
        raise InputError(f"{path} is damaged or not ours ({reason}); make the cache again") from error
    if key.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema {key.schema_version}, this version reads {SCHEMA_VERSION}; make the cache again"
        )
    return key


def write_key(cache_dir: Path, key: CacheKey) -> None:
    """Put the key there, whole."""
    with whole_file(cache_dir / KEY_FILE) as temporary:
        temporary.write_text(key.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


def write_names(cache_dir: Path, names: list[str]) -> None:
    """Put the photographs' names there, in the order of their ids, so that a message can name one."""
    with whole_file(cache_dir / NAMES_FILE) as temporary:
        temporary.write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


def read_names(cache_dir: Path, key: CacheKey) -> list[str]:
    """The photographs' names by id.

    Raises:
        InputError: missing, damaged, or not as many as there are photographs.
    """
    path = cache_dir / NAMES_FILE
    try:
        names = _NAMES.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged; run the same cache-teacher command again") from error
    if len(names) != key.num_photos:
        raise InputError(
            f"{path} has {len(names):,} names for {key.num_photos:,} photographs; run the same cache-teacher command "
            "again"
        )
    return names


def check_fits(cache_dir: Path, found: CacheKey, **wanted: object) -> None:
    """Refuse a cache of which any field in `wanted` has another value.

    Raises:
        InputError: the first field that differs, with both values.
    """
    for name, value in wanted.items():
        own = getattr(found, name)
        is_silent = own is None and name == "teacher_size_px"  # made before this was kept
        if own != value and not is_silent:
            raise InputError(
                f"the teacher cache at {cache_dir} was made with {name} {own}, this run has {value}; "
                "give another folder, or what the cache was made with"
            )
