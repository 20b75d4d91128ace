"""Flips, turns and crops, as SSCD applies them (its `transforms/settings.py`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional

from distill.augmentations.pipeline import Context, Range

_TRIES = 10


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror left to right."""

    def __call__(self, image: Image.Image, _rng: np.random.Generator, _context: Context) -> Image.Image:
        flipped: Image.Image = functional.horizontal_flip(image)
        return flipped


@dataclass(frozen=True)
class QuarterTurn:
    """Turn by 90, 180 or 270 degrees inside the image's own frame, as SSCD does: what sticks out is lost."""

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        return image.rotate(90 * int(rng.integers(1, 4)), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Rotate:
    """Turn by a whole number of degrees of the range inside the image's own frame; the corners are black."""

    degrees: tuple[int, int]

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        low, high = self.degrees
        return image.rotate(int(rng.integers(low, high + 1)), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class RandomCrop:
    """A box of a share `scale` of the area and an aspect `ratio` (drawn on a log scale); not resized.

    Where ten draws do not fit, the largest centred box of an allowed aspect. Source: torchvision's RandomResizedCrop.
    """

    scale: Range
    ratio: Range

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        top, left, height, width = self.draw_box(image.width, image.height, rng)
        cropped: Image.Image = functional.crop(image, top, left, height, width)
        return cropped

    def draw_box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a box inside an image of that size, in px."""
        low, high = self.ratio
        for _ in range(_TRIES):
            area = width * height * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
            box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < box_width <= width and 0 < box_height <= height:
                top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
                return int(top), int(left), box_height, box_width
        box_width = max(1, min(width, round(height * high)))
        box_height = max(1, min(height, round(width / low)))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@dataclass(frozen=True)
class RandomResizedCrop(RandomCrop):
    """`RandomCrop`, resized to S x S (bilinear, antialiased)."""

    def __call__(self, image: Image.Image, rng: np.random.Generator, context: Context) -> Image.Image:
        top, left, height, width = self.draw_box(image.width, image.height, rng)
        size = [context.size_px, context.size_px]
        resized: Image.Image = functional.resized_crop(image, top, left, height, width, size=size, antialias=True)
        return resized


@dataclass(frozen=True)
class Resize:
    """The whole image squeezed to S x S, as every artifact takes it (bilinear, antialiased)."""

    def __call__(self, image: Image.Image, _rng: np.random.Generator, context: Context) -> Image.Image:
        resized: Image.Image = functional.resize(image, [context.size_px, context.size_px], antialias=True)
        return resized
