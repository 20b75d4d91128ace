"""Text and emoji laid over an image, placed and sized as SSCD does (its `overlay_text.py` and `overlay_emoji.py`).

SSCD takes fonts and emoji pictures from AugLy. Here the font is Pillow's own and the emoji are drawn by code, so that
nothing is downloaded or copied; sizes, opacities and places are SSCD's.
"""

from __future__ import annotations

import bisect
import math
import string
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from distill.augmentations.emoji import draw_emoji
from distill.augmentations.pipeline import Context, Range
from icd_mobile.pictures.edits import random_color

_CHARACTERS = list(string.ascii_letters + string.digits + string.punctuation + " ")
_LONGEST = 100  # characters, as SSCD's


@lru_cache(maxsize=64)
def default_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font; each size is read once in a process."""
    return ImageFont.load_default(size=size_px)


@dataclass(frozen=True)
class Text:
    """One line of random characters in one colour, of any length that fits, anywhere inside the image.

    `size` is a share of the shorter side. An image too small for one character stays as it is.
    """

    size: Range
    opacity: Range

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        size_px = int(min(image.size) * rng.uniform(*self.size))
        if size_px < 1:
            return image
        font = default_font(size_px)
        line = "".join(rng.choice(_CHARACTERS, size=_LONGEST))
        lengths = range(1, _LONGEST + 1)
        longest = bisect.bisect_right(lengths, image.width, key=lambda length: math.ceil(font.getlength(line[:length])))
        if longest == 0:
            return image
        line = line[: int(rng.integers(1, longest + 1))]
        _, _, width, height = font.getbbox(line)
        place = rng.uniform(0, 1, 2) * (max(0, image.width - width), max(0, image.height - height))
        ink = (*random_color(rng), round(255 * rng.uniform(*self.opacity)))
        layer = Image.new("RGBA", image.size)
        ImageDraw.Draw(layer).text((float(place[0]), float(place[1])), line, fill=ink, font=font)
        return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


@dataclass(frozen=True)
class Emoji:
    """One emoji-like drawing anywhere inside the image; its side is `size` of the image's shorter side."""

    size: Range
    opacity: Range

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        emoji = draw_emoji(rng)
        side_px = max(1, int(min(image.size) * rng.uniform(*self.size)))
        emoji = emoji.resize((side_px, side_px), Image.Resampling.BILINEAR)
        place = rng.uniform(0, 1, 2) * (image.width - side_px, image.height - side_px)
        opacity = rng.uniform(*self.opacity)
        covered = image.copy()
        mask = emoji.getchannel("A").point([int(alpha * opacity) for alpha in range(256)])
        covered.paste(emoji.convert("RGB"), (int(place[0]), int(place[1])), mask)
        return covered
