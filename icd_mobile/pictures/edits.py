"""Edits that turn a picture into a copy, of the kinds seen in the Image Similarity Challenge.

Each edit takes an RGB image, a random generator, and another picture to use as background or sticker, and returns a
new RGB image. The same generator state gives the same pixels. Strengths are relative to the image's size, so that
they mean the same on any photograph.

Source of the kinds: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021; the strengths are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from icd_mobile.errors import InputError

Edit = Callable[[Image.Image, np.random.Generator, Image.Image], Image.Image]
_BILINEAR = Image.Resampling.BILINEAR
_BICUBIC = Image.Resampling.BICUBIC
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def crop(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Keep 60..90 % of each side."""
    return _random_crop(image, rng, 0.6, 0.9)


def heavy_crop(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Keep 30..50 % of each side: a tenth to a quarter of the picture."""
    return _random_crop(image, rng, 0.3, 0.5)


def overlay(image: Image.Image, rng: np.random.Generator, other: Image.Image) -> Image.Image:
    """Paste the image onto the other picture, at 35..65 % of its sides."""
    return _paste(onto=other, pasted=image, fraction=rng.uniform(0.35, 0.65), rng=rng)


def sticker(image: Image.Image, rng: np.random.Generator, other: Image.Image) -> Image.Image:
    """Cover part of the image with the other picture, at 25..50 % of its sides."""
    return _paste(onto=image, pasted=other, fraction=rng.uniform(0.25, 0.5), rng=rng)


def collage(image: Image.Image, rng: np.random.Generator, other: Image.Image) -> Image.Image:
    """Set the image beside the other picture, or above or below it, at the same size."""
    width, height = image.size
    beside = other.resize(image.size, _BILINEAR)
    side_by_side, image_first = rng.random() < 0.5, rng.random() < 0.5
    first, second = (image, beside) if image_first else (beside, image)
    canvas = Image.new("RGB", (2 * width, height) if side_by_side else (width, 2 * height))
    canvas.paste(first, (0, 0))
    canvas.paste(second, (width, 0) if side_by_side else (0, height))
    return canvas


def text(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Write one to four lines of random words over the image."""
    size_px = max(6.0, rng.uniform(0.08, 0.2) * image.height)
    font = ImageFont.load_default(size=size_px)
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    ink = (*random_color(rng), int(rng.integers(150, 256)))
    for _ in range(int(rng.integers(1, 5))):
        words = " ".join(
            "".join(rng.choice(list(_LETTERS), size=rng.integers(2, 9))) for _ in range(rng.integers(1, 4))
        )
        position = (rng.uniform(-0.1, 0.4) * image.width, rng.uniform(0, 0.85) * image.height)
        draw.text(position, words, fill=ink, font=font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def rotate(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Turn by 5..45 degrees either way; the corners take one colour."""
    angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(5, 45))
    return image.rotate(angle, _BICUBIC, expand=True, fillcolor=random_color(rng))


def quarter_turn(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Turn by 90, 180 or 270 degrees."""
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return image.transpose(turns[int(rng.integers(3))])


def flip(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Mirror left to right, or one time in five top to bottom."""
    return ImageOps.flip(image) if rng.random() < 0.2 else ImageOps.mirror(image)


def blur(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Gaussian blur, radius 0.8..2.5 % of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.008, 0.025) * min(image.size))))


def jpeg(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Encode as JPEG at quality 3..30 and decode."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(3, 31)))
    return Image.open(buffer).convert("RGB")


def color_jitter(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Shift hue, then scale saturation, contrast and brightness by up to two, either way."""
    hue, saturation, value = image.convert("HSV").split()
    shift = int(rng.integers(-40, 41))
    turned = Image.fromarray(((np.asarray(hue, dtype=np.int16) + shift) % 256).astype(np.uint8))
    jittered = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness):
        strength = rng.uniform(1.2, 2.0)
        jittered = enhance(jittered).enhance(float(strength if rng.random() < 0.5 else 1 / strength))
    return jittered


def grayscale(image: Image.Image, _rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Drop the colour; a grey image stays as it is."""
    return image.convert("L").convert("RGB")


def frame(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Add bars of one colour, each 5..40 % of its side: on all four sides, or as a letterbox on two."""
    width, height = image.size
    left, top, right, bottom = (max(1, round(side * rng.uniform(0.05, 0.4))) for side in (width, height, width, height))
    which = int(rng.integers(3))
    if which == 1:
        left = right = 0
    elif which == 2:
        top = bottom = 0
    return ImageOps.expand(image, (left, top, right, bottom), fill=random_color(rng))


def noise(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Add Gaussian noise, sigma 10..50 of 255, independent in each channel."""
    pixels = np.asarray(image, dtype=np.float64)
    noisy = pixels + rng.normal(0.0, rng.uniform(10, 50), pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def pixelate(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Reduce the longer side to 32..80 blocks, then enlarge them."""
    scale = rng.uniform(32, 80) / max(image.size)
    blocks = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(blocks, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


def stretch(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Change the aspect: widen or heighten 1.3..2 times."""
    factor = rng.uniform(1.3, 2.0)
    wider = rng.random() < 0.5
    size = (round(image.width * factor), image.height) if wider else (image.width, round(image.height * factor))
    return image.resize(size, _BICUBIC)


def perspective(image: Image.Image, rng: np.random.Generator, _other: Image.Image) -> Image.Image:
    """Move each corner inwards by up to 25 % of the side, as if seen aslant; the rest takes one colour."""
    width, height = image.size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (width, height)
    moved = corners + inwards * rng.uniform(0.02, 0.25, (4, 2))
    coefficients = _homography(moved, corners)
    return image.transform(
        image.size, Image.Transform.PERSPECTIVE, tuple(coefficients), _BICUBIC, fillcolor=random_color(rng)
    )


def _homography(source: np.ndarray, target: np.ndarray) -> list[float]:
    """The eight coefficients that map four source points (4, 2) onto four target points (4, 2)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


def _random_crop(image: Image.Image, rng: np.random.Generator, low: float, high: float) -> Image.Image:
    width, height = (max(1, round(side * rng.uniform(low, high))) for side in image.size)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _paste(onto: Image.Image, pasted: Image.Image, fraction: float, rng: np.random.Generator) -> Image.Image:
    """Paste `pasted`, in its own aspect, to fit in `fraction` of each side of `onto`."""
    scale = fraction * min(onto.width / pasted.width, onto.height / pasted.height)
    size = (max(1, round(pasted.width * scale)), max(1, round(pasted.height * scale)))
    place = (int(rng.integers(onto.width - size[0] + 1)), int(rng.integers(onto.height - size[1] + 1)))
    canvas = onto.copy()
    canvas.paste(pasted.resize(size, _BILINEAR), place)
    return canvas


def random_color(rng: np.random.Generator) -> tuple[int, int, int]:
    """A colour from the whole cube."""
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


EDITS: dict[str, Edit] = {
    "crop": crop,
    "heavy_crop": heavy_crop,
    "overlay": overlay,
    "sticker": sticker,
    "collage": collage,
    "text": text,
    "rotate": rotate,
    "quarter_turn": quarter_turn,
    "flip": flip,
    "blur": blur,
    "jpeg": jpeg,
    "color_jitter": color_jitter,
    "grayscale": grayscale,
    "frame": frame,
    "noise": noise,
    "pixelate": pixelate,
    "stretch": stretch,
    "perspective": perspective,
}


def apply_chain(
    image: Image.Image, rng: np.random.Generator, other: Image.Image, num_edits: int
) -> tuple[Image.Image, tuple[str, ...]]:
    """Apply `num_edits` different edits drawn at random; returns the RGB copy and the names in order.

    Raises:
        InputError: `num_edits` is not 1..len(EDITS).
    """
    if not 1 <= num_edits <= len(EDITS):
        raise InputError(f"a chain takes 1..{len(EDITS)} edits, got {num_edits}")
    names = tuple(str(name) for name in rng.choice(list(EDITS), size=num_edits, replace=False))
    edited = image.convert("RGB")
    background = other.convert("RGB")
    for name in names:
        edited = EDITS[name](edited, rng, background)
    return edited, names
