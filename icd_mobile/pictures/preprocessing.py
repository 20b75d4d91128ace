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
# No other is tried, whatever a file's name: Pillow would give an EPS to Ghostscript, which runs what is in it.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 100_000_000
RESIZE_FILTER = "bilinear, antialiased"

Pixels = NDArray[np.uint8]


class UnreadableImageError(Exception):
    """One image that cannot be decoded; callers skip and count it, or stop, as fits them."""


def read_rgb(source: Path | bytes) -> Image.Image:
    """Decode an image: EXIF orientation applied, first frame, alpha over white, RGB.

    Raises:
        UnreadableImageError: missing, empty, truncated, not an image in one of `FORMATS`, over 100 megapixels, or of
            32 bits a channel, where nothing says what is white.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF, and sizes that are checked below
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImageError(f"{image.width}x{image.height} px is over {MAX_PIXELS:,} pixels")
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # its text has the path, or an address in memory
        num_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        what = f"not an image of a kind that is read ({', '.join(FORMATS)})" if num_bytes else "the file is empty"
        raise UnreadableImageError(what) from error
    except Exception as error:  # Pillow's plugins raise many kinds on broken data
        raise UnreadableImageError(
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"}:
        raise UnreadableImageError("has 32 bits a channel, and nothing says which value is white; save it with 8 or 16")
    if image.mode.startswith("I;16"):  # Pillow would cut off above 255; 65535 is 255 times 257
        values = np.asarray(image, dtype=np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
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
