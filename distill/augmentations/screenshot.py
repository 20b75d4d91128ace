"""A screenshot-like frame: the image as a post on a phone, between bars, buttons and lines of text, made by code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from distill.augmentations.emoji import draw_emoji
from distill.augmentations.overlays import default_font
from distill.augmentations.pipeline import Context, Range
from icd_mobile.pictures.edits import random_color

_WORDS = ("look", "what", "we", "found", "today", "best", "photo", "ever", "so", "nice", "share", "with", "friends")
_LIGHT, _DARK = (250, 250, 250), (18, 18, 20)
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Screenshot:
    """The image at the full width of a post, in a light or dark theme.

    `share` is how much of the screen's height the image takes; the rest is header, footer and, at times, a status bar.
    """

    share: Range

    def __call__(self, image: Image.Image, rng: np.random.Generator, _context: Context) -> Image.Image:
        width = image.width
        unit = max(2, round(0.06 * width))  # the height of a line of text, px
        height = image.height + max(2 * unit, round(image.height * (1 / rng.uniform(*self.share) - 1)))
        ground, ink = (_LIGHT, _DARK) if rng.random() < 0.5 else (_DARK, _LIGHT)
        screen = Image.new("RGB", (width, height), ground)
        pen = ImageDraw.Draw(screen)
        top = int(rng.uniform(0.2, 0.8) * (height - image.height))
        screen.paste(image, (0, top))
        y = 0
        if top >= 4 * unit and rng.random() < 0.7:
            _status_bar(pen, rng, width, unit, ink)
            y = 2 * unit
        if top - y >= unit:
            _header(screen, rng, y, top, unit, ink)
        _footer(screen, rng, top + image.height, unit, ink)
        return screen


def _status_bar(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, unit: int, ink: Color) -> None:
    """The time on the left; signal and battery on the right."""
    clock = f"{rng.integers(24)}:{rng.integers(60):02d}"
    pen.text((unit, unit / 3), clock, fill=ink, font=default_font(unit))
    right, level = width - unit, rng.uniform(0.1, 1.0)
    pen.rectangle((right - 1.6 * unit, 0.5 * unit, right, 1.3 * unit), outline=ink)
    pen.rectangle((right - 1.6 * unit, 0.5 * unit, right - 1.6 * unit * (1 - level), 1.3 * unit), fill=ink)
    for bar in range(4):
        x = right - (4 - 0.5 * bar) * unit
        pen.rectangle((x, (1.1 - 0.2 * bar) * unit, x + 0.3 * unit, 1.3 * unit), fill=ink)


def _header(screen: Image.Image, rng: np.random.Generator, y: int, bottom: int, unit: int, ink: Color) -> None:
    """A round portrait, a name, and a line under it where there is room."""
    pen = ImageDraw.Draw(screen)
    radius = min(1.2 * unit, (bottom - y) / 2 - 1)
    middle = (y + bottom) / 2
    pen.ellipse((unit, middle - radius, unit + 2 * radius, middle + radius), fill=random_color(rng))
    x = 2 * unit + 2 * radius
    pen.text((x, middle - 1.1 * unit), _line(rng, 1, 3).title(), fill=ink, font=default_font(unit))
    if bottom - y >= 3 * unit:
        pen.text((x, middle + 0.1 * unit), f"{rng.integers(1, 60)} min", fill=_grey(ink), font=default_font(unit))


def _footer(screen: Image.Image, rng: np.random.Generator, y: int, unit: int, ink: Color) -> None:
    """A row of reactions, then lines of text as far as they fit."""
    pen = ImageDraw.Draw(screen)
    x = unit
    for _ in range(int(rng.integers(1, 5))):
        emoji = draw_emoji(rng).resize((round(1.4 * unit),) * 2, Image.Resampling.BILINEAR)
        screen.paste(emoji.convert("RGB"), (x, y + unit // 2), emoji.getchannel("A"))
        x += 2 * unit
    pen.text((x, y + unit // 2), f"{rng.integers(1, 5000):,}", fill=ink, font=default_font(unit))
    for line_y in range(y + 5 * unit // 2, screen.height - unit, 3 * unit // 2):
        pen.text((unit, line_y), _line(rng, 2, 7), fill=_grey(ink), font=default_font(unit))


def _line(rng: np.random.Generator, fewest: int, most: int) -> str:
    return " ".join(rng.choice(_WORDS, size=rng.integers(fewest, most + 1)))


def _grey(ink: Color) -> Color:
    return (110, 110, 115) if ink == _DARK else (170, 170, 175)
