"""Emoji-like drawings made by code: faces, hearts, stars and speech bubbles in the usual flat colours.

They stand for the emoji pictures that SSCD pastes; no picture or font of emoji is needed.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

_SIDE_PX = 128
_INK = (60, 45, 30, 255)
_WHITE = (255, 255, 255, 255)
_SKINS = ((255, 205, 60), (255, 176, 46), (247, 222, 206), (146, 87, 54), (255, 110, 90), (120, 190, 80))
_BRIGHT = ((221, 46, 68), (255, 172, 51), (85, 172, 238), (120, 177, 89), (170, 142, 214), (244, 144, 12))

Point = tuple[float, float]


def draw_emoji(rng: np.random.Generator) -> Image.Image:
    """A square RGBA drawing, transparent around it."""
    emoji = Image.new("RGBA", (_SIDE_PX, _SIDE_PX))
    pen = ImageDraw.Draw(emoji)
    kind = int(rng.integers(6))
    if kind <= 2:  # half of all emoji are faces
        _face(pen, rng)
    elif kind == 3:
        pen.polygon(_heart(0.5, 0.52, 0.46), fill=_pick(_BRIGHT, rng))
    elif kind == 4:
        pen.polygon(_star(points=int(rng.integers(4, 9))), fill=_pick(_BRIGHT, rng))
    else:
        _bubble(pen, rng)
    return emoji


def _face(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    pen.ellipse(_box(0.5, 0.5, 0.48, 0.48), fill=_pick(_SKINS, rng))
    eyes, mouth = int(rng.integers(4)), int(rng.integers(4))
    for x in (0.32, 0.68):
        if eyes == 0:
            pen.ellipse(_box(x, 0.38, 0.06, 0.1), fill=_INK)
        elif eyes == 1:
            pen.arc(_box(x, 0.42, 0.1, 0.1), 180, 360, fill=_INK, width=6)
        elif eyes == 2:
            pen.polygon(_heart(x, 0.38, 0.15), fill=(*_BRIGHT[0], 255))
        else:  # sunglasses, one lens an eye, and the bridge between
            pen.rounded_rectangle(_box(x, 0.38, 0.17, 0.11), 10, fill=_INK)
            pen.rectangle(_box(0.5, 0.33, 0.1, 0.025), fill=_INK)
    if mouth == 0:
        pen.arc(_box(0.5, 0.55, 0.26, 0.24), 20, 160, fill=_INK, width=7)
    elif mouth == 1:
        pen.chord(_box(0.5, 0.58, 0.28, 0.28), 0, 180, fill=_INK)
        pen.chord(_box(0.5, 0.6, 0.2, 0.12), 0, 180, fill=_WHITE)
    elif mouth == 2:
        pen.arc(_box(0.5, 0.86, 0.2, 0.2), 200, 340, fill=_INK, width=7)
    else:
        pen.ellipse(_box(0.5, 0.72, 0.1, 0.13), fill=_INK)


def _bubble(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    color = _pick(_BRIGHT, rng)
    pen.ellipse(_box(0.5, 0.42, 0.47, 0.36), fill=color)
    pen.polygon([_point(0.22, 0.65), _point(0.18, 0.96), _point(0.5, 0.72)], fill=color)
    for x in (0.3, 0.5, 0.7):
        pen.ellipse(_box(x, 0.42, 0.06, 0.06), fill=_WHITE)


def _heart(x: float, y: float, half: float) -> list[Point]:
    """Outline around (x, y). Source: x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    outline = []
    for t in np.linspace(0, 2 * math.pi, 48, endpoint=False):
        across = 16 * math.sin(t) ** 3
        down = -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
        outline.append(_point(x + half * across / 17, y + half * down / 17))
    return outline


def _star(points: int) -> list[Point]:
    angles = (math.pi * corner / points - math.pi / 2 for corner in range(2 * points))
    radii = (0.48 if corner % 2 == 0 else 0.22 for corner in range(2 * points))
    return [_point(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in zip(angles, radii, strict=True)]


def _point(x: float, y: float) -> Point:
    return x * _SIDE_PX, y * _SIDE_PX


def _box(x: float, y: float, half_width: float, half_height: float) -> tuple[float, float, float, float]:
    return (*_point(x - half_width, y - half_height), *_point(x + half_width, y + half_height))


def _pick(colors: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> tuple[int, int, int, int]:
    return (*colors[int(rng.integers(len(colors)))], 255)
