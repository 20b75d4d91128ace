"""Colour, blur and compression, as SSCD applies them (its `transforms/settings.py`), on the view at its final size."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional

from distill.augmentations.pipeline import Context, Range

SSCD_SIZE_PX = 224  # the side of the views that SSCD was trained on, and that its blur radius is meant for


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast, saturation by factors of 1 - x..1 + x and hue by -x..x turns, in a random order.

    Source: torchvision's ColorJitter.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        factors = [rng.uniform(max(0.0, 1 - x), 1 + x) for x in (self.brightness, self.contrast, self.saturation)]
        factors.append(rng.uniform(-self.hue, self.hue))
        adjust = (
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
            functional.adjust_hue,
        )
        for index in rng.permutation(len(adjust)):
            image = adjust[index](image, float(factors[index]))
        return image


@dataclass(frozen=True)
class Grayscale:
    """Drop the colour."""

    def __call__(self, image: Image.Image, _rng: np.random.Generator, _context: Context) -> Image.Image:
        grey: Image.Image = functional.rgb_to_grayscale(image, num_output_channels=3)
        return grey


@dataclass(frozen=True)
class Blur:
    """Gaussian blur; the radius is in px of a view of SSCD's size and scales with the view's side.

    So a view shows the same at every side: unscaled, radius 5 on 128 px would be 8.75 on the 224 the teacher learnt.
    """

    radius_px: Range

    def __call__(self, image: Image.Image, rng: np.random.Generator, context: Context) -> Image.Image:
        radius = rng.uniform(*self.radius_px) * context.size_px / SSCD_SIZE_PX
        return image.filter(ImageFilter.GaussianBlur(float(radius)))


@dataclass(frozen=True)
class Jpeg:
    """Encode as JPEG at an integer quality of the range, and decode."""

    quality: tuple[int, int]

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        low, high = self.quality
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(low, high + 1)))
        return Image.open(buffer).convert("RGB")
