"""The images that INT8 ranges are read from: real photographs, and edited copies of them, since queries are edited."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from distill.edits import apply_chain
from distill.errors import InputError
from distill.preprocessing import Pixels, UnreadableImageError, list_images, read_rgb, to_pixels
from distill.sample import calibration_photos

MAX_IMAGES = 32
NUM_VIEWS = 64
MAX_SIDE_PX = 1024
_SEED = 2021


@dataclass(frozen=True)
class CalibrationSet:
    """`views` is (N, S, S, 3) uint8; `skipped` names the files that could not be read."""

    source: str
    views: Pixels
    num_images: int
    sha256: str
    skipped: tuple[str, ...]


def calibration_set(folder: Path | None, size_px: int) -> CalibrationSet:
    """Views from a folder of images, or from the embedded sample's calibration photographs where it is None.

    At most 32 images, spread evenly over the sorted folder, give 64 views: each image as it is, then edited copies in
    turn. The same images give the same views.

    Raises:
        InputError: the folder is missing, empty, or holds no image that can be read.
    """
    if folder is None:
        images = [_reduced(photo.image) for photo in calibration_photos()]
        skipped: list[str] = []
        source = "embedded sample: calibration photographs and edited copies"
    else:
        images, skipped = _read_folder(folder)
        source = f"{folder.name}: photographs and edited copies"
    views = np.stack([to_pixels(view, size_px) for view in _views(images)])
    return CalibrationSet(source, views, len(images), hashlib.sha256(views.tobytes()).hexdigest(), tuple(skipped))


def _reduced(image: Image.Image) -> Image.Image:
    """At most 1024 px a side: 32 photographs of a phone would fill the memory."""
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return image


def _views(images: list[Image.Image]) -> Iterator[Image.Image]:
    rng = np.random.default_rng(_SEED)
    yield from images
    for index in islice(cycle(range(len(images))), max(0, NUM_VIEWS - len(images))):
        other = images[(index + 1) % len(images)]
        edited, _ = apply_chain(images[index], rng, other, num_edits=int(rng.integers(1, 4)))
        yield edited


def _read_folder(folder: Path) -> tuple[list[Image.Image], list[str]]:
    if not folder.is_dir():
        raise InputError(f"--calibration needs a folder of images, got {folder}, which is not a folder")
    try:
        paths = list_images(folder)
    except OSError as error:
        raise InputError(
            f"--calibration folder {folder} cannot be read ({error.strerror}); check its rights"
        ) from error
    if not paths:
        raise InputError(f"--calibration folder {folder} holds no images; put some tens of photographs there")
    step = -(-len(paths) // MAX_IMAGES)
    spread = [path for start in range(step) for path in paths[start::step]]  # evenly first, then the gaps between
    images: list[Image.Image] = []
    skipped: list[str] = []
    for path in spread:
        if len(images) == MAX_IMAGES:
            break
        try:
            images.append(_reduced(read_rgb(path)))
        except UnreadableImageError:
            skipped.append(str(path.relative_to(folder)))
    if not images:
        raise InputError(
            f"--calibration folder {folder}: none of its {len(paths)} images can be read, the first is {paths[0].name}"
        )
    return images, skipped
