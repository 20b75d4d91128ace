"""Who is who in a made dataset: one role for each photograph, and how each query is made. No pixel is touched here.

Roles follow from the seed and the photographs' hashes, not from names or order. References, the sources of queries
without a match, backgrounds and training are disjoint: what is pasted into a query is never itself a reference.
Queries with and without a match draw their edits and backgrounds alike, and share one numbering in random order, so
that neither tells them apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice

import numpy as np

from icd_mobile.datasets.made.edit_chains import STRENGTHS, check_strength, draw_chain, draw_strength, needs_background
from icd_mobile.datasets.made.photos import Photo
from icd_mobile.errors import InputError

BACKGROUND_SHARE = 0.1
MAX_TRAINING_SHARE = 0.8  # beside the backgrounds this leaves a tenth to judge
MAX_UNMATCHED_SHARE = 0.9  # DISC's public queries: 0.8
SIZES_PX = (64, 4096)


@dataclass(frozen=True)
class Settings:
    """What a user chooses; `num_queries` None is one query for every second judged photograph."""

    strength: str = "mixed"
    num_queries: int | None = None
    unmatched_share: float = 0.4
    training_share: float = 0.3
    size_px: int = 512


@dataclass(frozen=True)
class PlannedQuery:
    """`reference_id` is empty where there is no match, `background` None where no edit shows one."""

    query_id: str
    reference_id: str
    photo: Photo
    background: Photo | None
    strength: str
    edits: tuple[str, ...]
    seed: tuple[int, int]  # of the generator that the edits draw from


@dataclass(frozen=True)
class SetPlan:
    """Photographs by id, and the queries in the order of their ids."""

    references: dict[str, Photo]
    training: dict[str, Photo]
    backgrounds: tuple[Photo, ...]
    queries: tuple[PlannedQuery, ...]


@dataclass(frozen=True)
class _Sizes:
    training: int
    backgrounds: int
    unmatched: int  # photographs whose queries have no match
    matched: int  # photographs that are references with a query
    queries: int
    unmatched_queries: int

    @property
    def are_enough(self) -> bool:
        return self.backgrounds >= 1 and self.matched >= 1


def check_settings(settings: Settings) -> None:
    """Raise an InputError for a value out of range."""
    check_strength(settings.strength)
    low, high = SIZES_PX
    if not low <= settings.size_px <= high:
        raise InputError(f"--size needs {low}..{high} px, got {settings.size_px}")
    if not 0 <= settings.training_share <= MAX_TRAINING_SHARE:
        raise InputError(f"--training-share needs 0..{MAX_TRAINING_SHARE}, got {settings.training_share}")
    if not 0 <= settings.unmatched_share <= MAX_UNMATCHED_SHARE:
        raise InputError(f"--unmatched-share needs 0..{MAX_UNMATCHED_SHARE}, got {settings.unmatched_share}")
    num_queries = settings.num_queries
    if num_queries is not None and num_queries <= _num_unmatched(num_queries, settings):
        raise InputError(
            f"--num-queries {num_queries} with --unmatched-share {settings.unmatched_share} leaves no query with a "
            f"match; give more queries"
        )


def make_plan(photos: Sequence[Photo], seed: int, settings: Settings) -> SetPlan:
    """Give every photograph its role and every query its edits.

    Raises:
        InputError: settings out of range, or too few photographs for them.
    """
    check_settings(settings)
    sizes = _sizes(len(photos), settings)
    if not sizes.are_enough:
        needed = next(num for num in count(len(photos)) if _sizes(num, settings).are_enough)
        raise InputError(f"this dataset needs at least {needed} usable images, got {len(photos)}; give more")
    left = iter(sorted(photos, key=lambda photo: _rank(seed, photo)))
    training, backgrounds, unmatched, matched = (
        tuple(islice(left, num)) for num in (sizes.training, sizes.backgrounds, sizes.unmatched, sizes.matched)
    )
    references = _by_id("R", 6, sorted((*matched, *left), key=lambda photo: photo.sha256))
    return SetPlan(
        references=references,
        training=_by_id("T", 6, training),
        backgrounds=backgrounds,
        queries=tuple(_plan_queries(references, matched, unmatched, backgrounds, seed, settings, sizes)),
    )


def _plan_queries(
    references: dict[str, Photo],
    matched: tuple[Photo, ...],
    unmatched: tuple[Photo, ...],
    backgrounds: tuple[Photo, ...],
    seed: int,
    settings: Settings,
    sizes: _Sizes,
) -> Iterator[PlannedQuery]:
    reference_ids = {photo.sha256: name for name, photo in references.items()}
    num_matched = sizes.queries - sizes.unmatched_queries
    photos = [*islice(cycle(matched), num_matched), *islice(cycle(unmatched), sizes.unmatched_queries)]
    rng = np.random.default_rng(seed)
    for index, place in enumerate(rng.permutation(len(photos))):
        photo = photos[place]
        strength = draw_strength(settings.strength, rng)
        edits = draw_chain(STRENGTHS[strength], rng)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        yield PlannedQuery(
            query_id=f"Q{index:05d}",
            reference_id=reference_ids.get(photo.sha256, ""),
            photo=photo,
            background=background if needs_background(edits) else None,
            strength=strength,
            edits=edits,
            seed=(seed, index),
        )


def _sizes(num_photos: int, settings: Settings) -> _Sizes:
    """How many photographs and queries of each kind; one query a photograph, until there are more queries than that."""
    training = max(1, round(num_photos * settings.training_share)) if settings.training_share else 0
    backgrounds = max(1, round(num_photos * BACKGROUND_SHARE))
    judged = num_photos - training - backgrounds
    queries = judged // 2 if settings.num_queries is None else settings.num_queries
    sources = min(queries, judged)
    unmatched = _num_unmatched(sources, settings)
    return _Sizes(training, backgrounds, unmatched, sources - unmatched, queries, _num_unmatched(queries, settings))


def _num_unmatched(num: int, settings: Settings) -> int:
    return max(1, round(num * settings.unmatched_share)) if settings.unmatched_share else 0


def _rank(seed: int, photo: Photo) -> str:
    return hashlib.sha256(f"{seed} {photo.sha256}".encode()).hexdigest()


def _by_id(letter: str, num_digits: int, photos: Sequence[Photo]) -> dict[str, Photo]:
    return {f"{letter}{index:0{num_digits}d}": photo for index, photo in enumerate(photos)}
