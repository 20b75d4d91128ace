"""The embedded sample as a dataset: built on demand, the same everywhere, without a download.

The references are the judged photographs of `datasets.sample_pictures` among procedural distractors. Queries are edited
copies of the photographs: each edit of `pictures.edits` once, then chains of two and three, as the challenge's own are
made. Two fifths as many queries have no match: edited procedural pictures that are not among the references.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from icd_mobile.datasets.own_layout import EDITS_NAME, GROUND_TRUTH_NAME
from icd_mobile.datasets.sample_pictures import SamplePhoto, judged_photos, procedural_picture
from icd_mobile.pictures.edits import EDITS, apply_chain

SAMPLE_NAME = "sample-v1"  # v1: first. Whatever changes a pixel or a pair of it changes this name.
NUM_DISTRACTORS, NUM_BACKGROUNDS = 300, 20
CHAIN_LENGTHS = (2, 2, 2, 3, 3, 3)  # after the single edits
UNMATCHED_SHARE = 0.4
LONG_SIDE_PX = 384
_SEED_DISTRACTORS, _SEED_UNMATCHED, _SEED_BACKGROUNDS = 10_000, 20_000, 30_000
_SHAPES_PX = ((384, 288), (288, 384), (320, 320), (384, 256))


def build_sample(datasets_dir: Path, on_image: Callable[[int, int], None] | None = None) -> Path:
    """The sample's folder below `datasets_dir`, built whole if it is not there yet.

    `on_image` is called with the number of images written and the number of all.

    Raises:
        OutsideError: scikit-image or scikit-learn, which carry the photographs, is missing.
        OSError: the folder cannot be written.
    """
    folder = datasets_dir / SAMPLE_NAME
    if folder.is_dir():
        return folder
    datasets_dir.mkdir(parents=True, exist_ok=True)
    temporary = datasets_dir / f".{SAMPLE_NAME}.{os.getpid()}.tmp"
    try:
        _write(temporary, on_image or (lambda _done, _all: None))
        if not folder.is_dir():  # another process may have been first
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write(folder: Path, on_image: Callable[[int, int], None]) -> None:
    for part in ("references", "queries"):
        (folder / part).mkdir(parents=True)
    photos = judged_photos()
    num_matched = len(photos) * (len(EDITS) + len(CHAIN_LENGTHS))
    num_unmatched = round(num_matched * UNMATCHED_SHARE)
    num_images = len(photos) + NUM_DISTRACTORS + num_matched + num_unmatched
    num_done = 0

    def save(image: Image.Image, part: str, name: str) -> None:
        nonlocal num_done
        small = image.copy()
        small.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.BICUBIC)
        small.save(folder / part / f"{name}.jpg", quality=90)
        num_done += 1
        on_image(num_done, num_images)

    for photo in photos:
        save(photo.image, "references", f"photo-{photo.name}")
    for index in range(NUM_DISTRACTORS):
        save(_picture(_SEED_DISTRACTORS + index), "references", f"distractor-{index:03d}")
    rows = []
    for index, (reference, image, edits) in enumerate(_queries(photos, num_unmatched)):
        save(image, "queries", f"query-{index:03d}")
        rows.append((f"query-{index:03d}", reference, " + ".join(edits)))
    _write_csv(folder / GROUND_TRUTH_NAME, ("query_id", "reference_id"), [row[:2] for row in rows])
    _write_csv(folder / EDITS_NAME, ("query_id", "edits"), [(row[0], row[2]) for row in rows])


def _queries(photos: list[SamplePhoto], num_unmatched: int) -> Iterator[tuple[str, Image.Image, tuple[str, ...]]]:
    """(id of the matching reference or "", image, names of its edits)."""
    rng = np.random.default_rng(0)
    backgrounds = [_picture(_SEED_BACKGROUNDS + index) for index in range(NUM_BACKGROUNDS)]

    def background() -> Image.Image:
        return backgrounds[int(rng.integers(NUM_BACKGROUNDS))]

    for photo in photos:
        image = photo.image.copy()
        image.thumbnail((2 * LONG_SIDE_PX, 2 * LONG_SIDE_PX), Image.Resampling.BICUBIC)
        for name, edit in EDITS.items():
            yield f"photo-{photo.name}", edit(image, rng, background()), (name,)
        for length in CHAIN_LENGTHS:
            edited, names = apply_chain(image, rng, background(), length)
            yield f"photo-{photo.name}", edited, names
    for index in range(num_unmatched):
        edited, names = apply_chain(_picture(_SEED_UNMATCHED + index), rng, background(), int(rng.integers(1, 4)))
        yield "", edited, names


def _picture(seed: int) -> Image.Image:
    return procedural_picture(seed, _SHAPES_PX[seed % len(_SHAPES_PX)])


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
