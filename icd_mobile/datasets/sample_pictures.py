"""The embedded sample: real photographs that two dependencies install, and distractors made by code.

Nothing is downloaded. The judged photographs and the calibration ones are disjoint, and the motorcycle's stereo pair
stays in calibration: as references its two halves would be near-copies of each other under different ids. Drawings,
logos, renderings and pictures under 150 px in either package are left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from icd_mobile.errors import OutsideError
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb

_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
_JUDGED = (
    "astronaut.png",
    "brick.png",
    "cell.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
    "china.jpg",
)
_CALIBRATION = (
    "camera.png",
    "chelsea.png",
    "gravel.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "flower.jpg",
)
_FROM_SCIKIT_LEARN = frozenset({"china.jpg", "flower.jpg"})


@dataclass(frozen=True)
class SamplePhoto:
    """A photograph of the sample; `name` is its file name without the suffix."""

    name: str
    image: Image.Image
    path: Path


def judged_photos() -> list[SamplePhoto]:
    """The references of the sample benchmark, 15 RGB photographs.

    Raises:
        OutsideError: scikit-image or scikit-learn is missing or incomplete.
    """
    return [_read_photo(file_name) for file_name in _JUDGED]


def calibration_photos() -> list[SamplePhoto]:
    """Six RGB photographs, none of them judged, for INT8 ranges and golden images: four in colour, two grey.

    Raises:
        OutsideError: scikit-image or scikit-learn is missing or incomplete.
    """
    return [_read_photo(file_name) for file_name in _CALIBRATION]


def _read_photo(file_name: str) -> SamplePhoto:
    package = "scikit-learn" if file_name in _FROM_SCIKIT_LEARN else "scikit-image"
    module, folder = _FOLDERS[package]
    found = importlib.util.find_spec(module)  # finds the folder without importing the package
    if found is None or not found.submodule_search_locations:
        raise OutsideError(f"the sample photographs come with {package}, which is not installed: pip install {package}")
    path = Path(next(iter(found.submodule_search_locations))) / folder / file_name
    try:
        return SamplePhoto(path.stem, read_rgb(path), path)
    except UnreadableImageError as error:
        raise OutsideError(
            f"the sample needs {file_name} of {package}, which did not open ({error}): "
            f"pip install --force-reinstall {package}"
        ) from error


Canvas = NDArray[np.float64]
_Layer = Callable[[Canvas, np.random.Generator], Canvas]


def procedural_picture(seed: int, size_px: tuple[int, int]) -> Image.Image:
    """A distractor made by code, RGB, `size_px` = (width, height); the same seed gives the same picture.

    A noise ground in a random palette, then two to four layers of hills, stripes, shapes and light, then film grain.
    """
    rng = np.random.default_rng(seed)
    width, height = size_px
    canvas = _ground(rng, width, height)
    for index in rng.choice(len(_LAYERS), size=rng.integers(2, len(_LAYERS) + 1), replace=False):
        canvas = _LAYERS[int(index)](canvas, rng)
    canvas = canvas + rng.normal(0.0, rng.uniform(1.0, 6.0), canvas.shape)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _noise(rng: np.random.Generator, width: int, height: int) -> Canvas:
    """Fractal noise (H, W) in 0..1: octaves of smoothed random grids, each half as strong as the one before."""
    total = np.zeros((height, width))
    cells = int(rng.integers(2, 6))
    for octave in range(5):
        grid = rng.random((cells * 2**octave, cells * 2**octave)).astype(np.float32)
        smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth, dtype=np.float64) / 2**octave
    low, high = float(total.min()), float(total.max())
    scaled: Canvas = (total - low) / max(high - low, 1e-9)
    return scaled


def _ground(rng: np.random.Generator, width: int, height: int) -> Canvas:
    """(H, W, 3): noise, tilted by a linear gradient, coloured by a palette of four."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle = rng.uniform(0.0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    level = np.clip(rng.uniform(0.3, 0.9) * _noise(rng, width, height) + rng.uniform(0.1, 0.6) * slope, 0, 1)
    palette = rng.uniform(0, 255, (4, 3))
    stops = np.linspace(0, 1, 4)
    return np.stack([np.interp(level, stops, palette[:, channel]) for channel in range(3)], axis=2)


def _hills(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Ridges, one before the other, each with a texture of its own."""
    height, width = canvas.shape[:2]
    rows = np.arange(height)[:, None]
    for depth in np.sort(rng.uniform(0.35, 0.9, rng.integers(1, 4))):
        ridge = depth * height + (_noise(rng, width, 8)[0] - 0.5) * height * rng.uniform(0.1, 0.5)
        texture = rng.uniform(20, 200, 3) * (0.6 + 0.6 * _noise(rng, width, height))[:, :, None]
        canvas = np.where((rows > ridge[None, :])[:, :, None], texture, canvas)
    return canvas


def _stripes(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Periodic stripes at any angle over a soft region."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.02, 0.12) * max(width, height)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    region = np.clip((_noise(rng, width, height) - rng.uniform(0.3, 0.6)) * 6, 0, 1)
    striped: Canvas = canvas + (wave * region * rng.uniform(20, 70))[:, :, None]
    return striped


def _shapes(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Ellipses, boxes and polygons with soft edges, shaded by noise."""
    height, width = canvas.shape[:2]
    for _ in range(int(rng.integers(3, 12))):
        mask = Image.new("L", (width, height))
        draw = ImageDraw.Draw(mask)
        centre = rng.uniform(0, 1, 2) * (width, height)
        radius = rng.uniform(0.03, 0.25) * min(width, height)
        corners = int(rng.integers(3, 9))
        if corners > 6:
            draw.ellipse((*(centre - radius), *(centre + radius)), fill=255)
        else:
            turns = np.sort(rng.uniform(0, 2 * np.pi, corners))
            outline = centre + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            draw.polygon([(float(px), float(py)) for px, py in outline], fill=255)
        soft = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.01) * min(width, height))))
        opacity = (np.asarray(soft, dtype=np.float64) / 255)[:, :, None] * rng.uniform(0.6, 1.0)
        shade = rng.uniform(0, 255, 3) * (0.7 + 0.5 * _noise(rng, width, height))[:, :, None]
        canvas = canvas * (1 - opacity) + shade * opacity
    return canvas


def _light(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """A bright spot that falls off towards the corners."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    squared = (x - rng.uniform(0, 1)) ** 2 + (y - rng.uniform(0, 1)) ** 2
    gain = rng.uniform(0.4, 0.8) + rng.uniform(0.4, 0.9) * np.exp(-squared * rng.uniform(1, 6))
    lit: Canvas = canvas * gain[:, :, None]
    return lit


_LAYERS: tuple[_Layer, ...] = (_hills, _stripes, _shapes, _light)
