"""Decoding and resizing: the part of the pixel contract that the app does itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import preprocessing
from distill.preprocessing import UnreadableImageError, list_images, read_rgb, to_pixels
from distill.sample import procedural_picture


def _encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_exif_orientation_is_applied() -> None:
    # Orientation 6: the camera was turned, the viewer turns the pixels 90 degrees clockwise; left becomes top.
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = read_rgb(_encoded(image, exif=exif))
    assert upright.size == (1, 2)
    assert (upright.getpixel((0, 0)), upright.getpixel((0, 1))) == ((255, 0, 0), (0, 0, 255))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (2, 2), (200, 0, 0, 0)), (255, 255, 255)),  # transparent: the white behind it
        (Image.new("LA", (2, 2), (50, 255)), (50, 50, 50)),
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 2), 65535, dtype=np.uint16)), (255, 255, 255)),  # 16-bit: scaled to 8
        (Image.fromarray(np.full((2, 2), 25700, dtype=np.uint16)), (100, 100, 100)),  # 25700 = 100 x 257
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    decoded = read_rgb(_encoded(image))
    assert decoded.mode == "RGB"
    assert decoded.getpixel((0, 0)) == expected


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("P", (4, 4), color) for color in (0, 1)]
    for frame in frames:
        frame.putpalette([10, 20, 30, 200, 210, 220])
    decoded = read_rgb(_encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_unreadable(kind: str) -> None:
    content = _encoded(procedural_picture(0, (64, 48)), kind)
    with pytest.raises(UnreadableImageError):
        read_rgb(content[: len(content) // 3])


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        read_rgb(content)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="FileNotFoundError"):
        read_rgb(tmp_path / "absent.jpg")


def test_an_image_over_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "MAX_PIXELS", 99)
    with pytest.raises(UnreadableImageError, match="10x10 px is over 99 pixels"):
        read_rgb(_encoded(Image.new("RGB", (10, 10))))


def test_the_whole_image_is_squeezed_to_a_square() -> None:
    # Antialiased halving of a row 0, 0, 255, 255 | 0, 0, 255, 255: each output stays between its two halves' values.
    row = np.repeat(np.array([[0, 0, 255, 255]], dtype=np.uint8)[:, :, None], 3, axis=2)
    pixels = to_pixels(Image.fromarray(np.repeat(row, 8, axis=0)), 2)
    assert pixels.shape == (2, 2, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 0, 0] < 64 < 191 < pixels[0, 1, 0]
    assert (pixels[0] == pixels[1]).all()


def test_images_below_a_folder_are_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)] == ["a.png", "b.JPG", "sub/c.webp"]
