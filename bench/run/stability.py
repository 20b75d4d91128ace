"""How far an artifact's descriptor moves under edits that change nothing a person sees, and one that must move it.

The edits are those that happen between two apps: JPEG compression of the source image, a crop that is off by one pixel,
another resize filter. The canary swaps red and blue, the mistake that no error message reports: an artifact that hardly
notices it does not see colour, or is fed in a way that hides it, and no measurement here could tell RGB from BGR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

from bench.records.record import CANARY, EDITS, Stability
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import PixelSource
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import Pixels, UnreadableImageError, read_rgb, to_pixels

NUM_IMAGES = 32
MAX_TRIED = 8 * NUM_IMAGES
MIN_COLOUR = 8.0  # mean absolute difference of red and blue, 0..255: below it a swap changes next to nothing
COLOUR_SIDE_PX = 64
Edit = Callable[[Image.Image, int], Pixels]  # RGB image and S to (S, S, 3)


def _jpeg(quality: int) -> Edit:
    def edit(image: Image.Image, size_px: int) -> Pixels:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return to_pixels(read_rgb(buffer.getvalue()), size_px)

    return edit


def _shift(image: Image.Image, size_px: int) -> Pixels:
    """One pixel of the artifact's input to the right, the first column twice."""
    pixels = to_pixels(image, size_px)
    return np.concatenate([pixels[:, :1], pixels[:, :-1]], axis=1)


def _bicubic(image: Image.Image, size_px: int) -> Pixels:
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC), dtype=np.uint8)


def _no_antialias(image: Image.Image, size_px: int) -> Pixels:
    """Bilinear between the four nearest pixels alone, as phones' own scalers are."""
    box = (0, 0, image.width, image.height)
    small = image.transform((size_px, size_px), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


def _swap(image: Image.Image, size_px: int) -> Pixels:
    return np.ascontiguousarray(to_pixels(image, size_px)[:, :, ::-1])


EDIT_OF = dict(zip(EDITS, (_jpeg(95), _jpeg(75), _shift, _bicubic, _no_antialias), strict=True))
_ROWS_OF_IMAGE: tuple[Edit, ...] = (to_pixels, *EDIT_OF.values(), _swap)


def stability_source(dataset: Dataset) -> PixelSource:
    """Some references of a dataset, the same each time, each unedited and then with every edit and the canary.

    Raises:
        InputError: none of those tried is readable and coloured.
    """
    order = np.random.default_rng(0).permutation(len(dataset.references))[:MAX_TRIED]
    chosen: list[int] = []
    for index in order.tolist():
        if len(chosen) < NUM_IMAGES and _is_coloured(dataset, index):
            chosen.append(index)
    if not chosen:
        raise InputError(f"none of {len(order)} references is a readable picture with colours")
    names = [dataset.references[index].relative_to(dataset.folder).as_posix() for index in chosen]
    parts = (dataset.sha256, *names, *EDITS, CANARY)

    @lru_cache(maxsize=1)  # an image's rows come one after the other
    def decoded(index: int) -> Image.Image:
        return read_rgb(dataset.references[index])

    def pixels(row: int, size_px: int) -> Pixels:
        image, edit = divmod(row, len(_ROWS_OF_IMAGE))
        return _ROWS_OF_IMAGE[edit](decoded(chosen[image]), size_px)

    return PixelSource(
        name=f"{dataset.name} edited",
        sha256=hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest(),
        num_images=len(chosen) * len(_ROWS_OF_IMAGE),
        pixels=pixels,
        image_name=lambda row: names[row // len(_ROWS_OF_IMAGE)],
    )


def _is_coloured(dataset: Dataset, index: int) -> bool:
    try:
        pixels = to_pixels(read_rgb(dataset.references[index]), COLOUR_SIDE_PX).astype(np.float64)
    except UnreadableImageError:
        return False
    return bool(np.abs(pixels[:, :, 0] - pixels[:, :, 2]).mean() >= MIN_COLOUR)


def stability_of(descriptors: Descriptors) -> Stability:
    """The section of a record, from the descriptors of `stability_source`, all of unit length."""
    by_image = np.asarray(descriptors, dtype=np.float64).reshape(-1, len(_ROWS_OF_IMAGE), descriptors.shape[1])
    cosines = np.einsum("ned,nd->en", by_image[:, 1:], by_image[:, 0])
    *edited, canary = (tuple(row) for row in cosines.tolist())
    return Stability(num_images=len(by_image), cosines=dict(zip(EDITS, edited, strict=True)), canary_cosines=canary)
