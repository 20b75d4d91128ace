"""Decoding and resizing: the part of the pixel contract that the app does itself."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.pictures import preprocessing
from icd_mobile.pictures.preprocessing import UnreadableImageError, list_images, read_rgb, to_pixels


def _encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _palette(image: Image.Image) -> Image.Image:
    image.putpalette([10, 20, 30, 200, 210, 220])
    return image


def _png(header: bytes, rows: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_exif_orientation_is_applied() -> None:
    # Orientation 6: the camera was turned, the viewer turns the pixels 90 degrees clockwise; left becomes top.
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = read_rgb(_encoded(image, exif=exif))
    assert upright.size == (1, 2)
    assert (upright.getpixel((0, 0)), upright.getpixel((0, 1))) == ((255, 0, 0), (0, 0, 255))


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(1, "AB/CD"), (2, "BA/DC"), (3, "DC/BA"), (4, "CD/AB"), (5, "AC/BD"), (6, "CA/DB"), (7, "DB/CA"), (8, "BD/AC")],
)
def test_each_exif_orientation_turns_as_the_standard_says(orientation: int, expected: str) -> None:
    # EXIF 2.3, tag 274: which side of the picture the stored row 0 and column 0 are, for the stored picture AB/CD.
    stored = np.array([[ord("A"), ord("B")], [ord("C"), ord("D")]], dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.asarray(read_rgb(_encoded(Image.fromarray(stored), exif=exif)))[:, :, 0]
    assert "/".join("".join(map(chr, row)) for row in upright) == expected


def test_damaged_exif_costs_the_orientation_only() -> None:
    content = _encoded(Image.new("RGB", (8, 4)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03")
    assert read_rgb(content).size == (8, 4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (2, 2), (200, 0, 0, 0)), (255, 255, 255)),  # transparent: the white behind it
        (Image.new("LA", (2, 2), (50, 255)), (50, 50, 50)),
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 2), 65535, dtype=np.uint16)), (255, 255, 255)),  # 16-bit: scaled to 8
        (Image.fromarray(np.full((2, 2), 25700, dtype=np.uint16)), (100, 100, 100)),  # 25700 = 100 x 257
        (Image.fromarray(np.full((2, 2), 200, dtype=np.uint16)), (1, 1, 1)),  # dark, not 200: 200 / 257 = 0.78
        (_palette(Image.new("P", (2, 2), 1)), (200, 210, 220)),
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    decoded = read_rgb(_encoded(image))
    assert decoded.mode == "RGB"
    assert decoded.getpixel((0, 0)) == expected


@pytest.mark.parametrize(
    ("color_type", "values", "expected"),
    [
        (0, (25700,), (100, 100, 100)),  # grey
        (2, (65535, 25700, 300), (255, 100, 1)),  # RGB
        (4, (25700, 65535), (100, 100, 100)),  # grey with alpha
        (6, (65535, 25700, 300, 0), (255, 255, 255)),  # RGB with alpha, transparent
    ],
)
def test_png_of_16_bits_a_channel_is_scaled_and_not_cut_off(
    color_type: int, values: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 16, color_type, 0, 0, 0)
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    assert read_rgb(_png(header, row)).getpixel((0, 0)) == expected


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_a_channel_are_refused_since_white_is_not_known(mode: str) -> None:
    with pytest.raises(UnreadableImageError, match="32 bits a channel"):
        read_rgb(_encoded(Image.new(mode, (2, 2), 1), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_cmyk_is_read_as_ink(kind: str, ink: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    # No ink is white, full cyan takes all red, full black all light. JPEG holds CMYK inverted, as Photoshop began it.
    options = {"quality": 100} if kind == "JPEG" else {}
    assert read_rgb(_encoded(Image.new("CMYK", (8, 8), ink), kind, **options)).getpixel((4, 4)) == expected


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (_palette(Image.new("P", (2, 2), 1)), 1),
        (Image.new("L", (2, 2), 9), 9),
        (Image.new("RGB", (2, 2), (5, 6, 7)), (5, 6, 7)),
    ],
)
def test_a_color_named_as_transparent_is_white(image: Image.Image, transparent: object) -> None:
    assert read_rgb(_encoded(image, transparency=transparent)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((128, 128, 128), (200, 210, 220))]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = read_rgb(_encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert decoded.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_unreadable(kind: str, share: float) -> None:
    content = _encoded(procedural_picture(0, (64, 48)), kind)
    with pytest.raises(UnreadableImageError):
        read_rgb(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"text", "not an image of a kind that is read"),
        (b"\x89PNG\r\n\x1a\n", "not an image of a kind that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image of a kind that is read"),  # never run
    ],
)
def test_what_is_no_image_is_unreadable(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(UnreadableImageError, match=reason):
            read_rgb(source)


@pytest.mark.parametrize("side_px", [11_000, 60_000])
def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded(side_px: int) -> None:
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    with pytest.raises(UnreadableImageError, match=r"over 100,000,000 pixels|DecompressionBombError"):
        read_rgb(_png(header, b""))


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
