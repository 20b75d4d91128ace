"""The perceptual hash: what it is made of, what it sees through, and what it tells apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from icd_mobile.datasets.sample_pictures import calibration_photos, judged_photos
from icd_mobile.pictures.perceptual_hash import looks_the_same, perceptual_hash

PHOTOS = [photo.image for photo in (*judged_photos(), *calibration_photos())]


def test_the_bits_are_the_signs_of_the_lowest_frequencies() -> None:
    """A picture that is one cosine along its rows is one frequency, row 0 and column 3, negative where it is."""
    wave = np.cos(np.pi * 3 * (2 * np.arange(32) + 1) / 64)
    grey = np.round(128 + 100 * np.repeat(wave[None], 32, axis=0)).astype(np.uint8)
    for pixels, bit in ((grey, 1), (255 - grey, 0)):
        found = perceptual_hash(Image.fromarray(pixels).convert("RGB"))
        assert np.unpackbits(found.view(np.uint8)).reshape(16, 16)[0, 3] == bit


def test_a_brighter_and_flatter_picture_has_the_same_bits() -> None:
    """The transform is linear: a factor and an offset change neither signs nor the order about the median."""
    grey = np.asarray(PHOTOS[0].convert("L").resize((32, 32)), dtype=np.uint8) // 2 * 2
    changed = Image.fromarray(grey // 2 + 60).convert("RGB")
    assert perceptual_hash(changed).tolist() == perceptual_hash(Image.fromarray(grey).convert("RGB")).tolist()


@pytest.mark.parametrize("edit", ["jpeg of quality 10", "64 x 64 jpeg", "brighter", "caption"])
def test_a_copy_of_a_photograph_looks_the_same(edit: str) -> None:
    hashes = np.stack([perceptual_hash(image) for image in PHOTOS])
    for index, image in enumerate(PHOTOS):
        alike = looks_the_same(hashes, perceptual_hash(_edited(image, edit)))
        assert np.flatnonzero(alike).tolist() == [index]


def _edited(image: Image.Image, edit: str) -> Image.Image:
    content = io.BytesIO()
    if edit == "jpeg of quality 10":
        image.save(content, "JPEG", quality=10)
    elif edit == "64 x 64 jpeg":
        image.resize((64, 64)).save(content, "JPEG")
    elif edit == "brighter":
        return ImageEnhance.Brightness(image).enhance(1.2)
    else:
        image = image.copy()
        image.paste((255, 255, 255), (0, int(image.height * 0.96), image.width, image.height))
        return image
    return Image.open(content).convert("RGB")


def test_no_two_photographs_of_the_sample_look_the_same() -> None:
    """The two halves of the motorcycle's stereo pair among them."""
    hashes = np.stack([perceptual_hash(image) for image in PHOTOS])
    assert sum(int(looks_the_same(hashes, one).sum()) for one in hashes) == len(PHOTOS)
