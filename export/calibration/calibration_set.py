"""The images that INT8 ranges are read from: real photographs, and edited copies of them, since queries are edited."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from export.bundle.manifest import CalibrationImage
from export.calibration.images import ReadImage, read_folder, read_image
from icd_mobile.datasets.sample_pictures import calibration_photos
from icd_mobile.pictures.edits import apply_chain
from icd_mobile.pictures.preprocessing import Pixels, to_pixels

NUM_VIEWS = 64
_SEED = 2021


@dataclass(frozen=True)
class CalibrationSet:
    """`views` is (N, S, S, 3) uint8, made of `images`; `skipped` names the files that could not be read."""

    source: str
    views: Pixels
    images: tuple[CalibrationImage, ...]
    sha256: str  # of the views
    skipped: tuple[str, ...]

    @property
    def num_images(self) -> int:
        """How many images the views were made of."""
        return len(self.images)


def calibration_set(folder: Path | None, size_px: int) -> CalibrationSet:
    """Views from a folder of images, or from the embedded sample's calibration photographs where it is None.

    At most 32 images, spread evenly over the sorted folder, give 64 views: each image as it is, then edited copies in
    turn. The same images give the same views.

    Raises:
        InputError: the folder is missing, empty, or holds less than two different photographs that can be read.
    """
    if folder is None:
        images = [read_image(photo.path.name, photo.path.read_bytes()) for photo in calibration_photos()]
        skipped: list[str] = []
        source = "embedded sample: calibration photographs and edited copies"
    else:
        images, skipped = read_folder(folder)
        source = f"{folder.name}: photographs and edited copies"
    views = np.stack([to_pixels(view, size_px) for view in _views(images)])
    sha256 = hashlib.sha256(views.tobytes()).hexdigest()
    return CalibrationSet(source, views, tuple(one.info for one in images), sha256, tuple(skipped))


def _views(read: Sequence[ReadImage]) -> Iterator[Image.Image]:
    images = [one.image for one in read]
    rng = np.random.default_rng(_SEED)
    yield from images
    for index in islice(cycle(range(len(images))), max(0, NUM_VIEWS - len(images))):
        other = images[(index + 1) % len(images)]
        edited, _ = apply_chain(images[index], rng, other, num_edits=int(rng.integers(1, 4)))
        yield edited
