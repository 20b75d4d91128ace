"""From a file to the square RGB pixels that every artifact takes: decode, turn upright, resize.

The app on the phone does this part itself; the golden images of each bundle pin it (RGB, the whole image squeezed to
S x S, bilinear with antialiasing, as SSCD's `Resize([S, S])`).
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
MAX_PIXELS = 100_000_000
RESIZE_FILTER = "bilinear, antialiased"

Pixels = NDArray[np.uint8]


class UnreadableImageError(Exception):
    """One image that cannot be decoded; callers skip and count it, or stop, as fits them."""


def read_rgb(source: Path | bytes) -> Image.Image:
    """Decode an image: EXIF orientation applied, first frame, alpha over white, RGB.

    Raises:
        UnreadableImageError: missing, truncated, not an image, or over 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImageError(f"{image.width}x{image.height} px is over {MAX_PIXELS:,} pixels")
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # its text has the path, or an address in memory
        raise UnreadableImageError("not an image, or of a kind that is not read") from error
    except Exception as error:  # Pillow's plugins raise many kinds on broken data
        raise UnreadableImageError(
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F"}:  # 16-bit grey: keep the high byte
        values = np.asarray(image, dtype=np.float64)
        scale = 255.0 / 65535.0 if values.max(initial=0.0) > 255 else 1.0
        return Image.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def to_pixels(image: Image.Image, size_px: int, resample: Image.Resampling = Image.Resampling.BILINEAR) -> Pixels:
    """RGB image of any size -> (S, S, 3) uint8; only teachers have another filter than artifacts."""
    return np.asarray(image.resize((size_px, size_px), resample), dtype=np.uint8)


def list_images(folder: Path) -> list[Path]:
    """Every image file below a folder, sorted by path, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
