"""Pixels in chunks: the preprocessing's own, made once where they are kept, and never left half-written."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icd_mobile.datasets import pixel_files
from icd_mobile.datasets.pixel_files import PixelFile, PixelSource, dataset_source, pixel_chunk
from icd_mobile.datasets.read import read_dataset
from icd_mobile.pictures.preprocessing import read_rgb, to_pixels

ALL = range(11)  # the tiny dataset: five queries, then six references


def chunk(source: PixelSource, rows: range, size_px: int, folder: Path) -> tuple[PixelFile, np.ndarray, list[int]]:
    """A chunk, its pixels, and the number done at each call that told of one."""
    seen: list[int] = []
    with pixel_chunk(source, rows, size_px, folder, lambda done, _total: seen.append(done)) as found:
        return found, np.load(found.path), seen


def test_pixels_are_those_of_the_preprocessing_in_order(dataset_dir: Path, tmp_path: Path) -> None:
    dataset = read_dataset(dataset_dir)
    found, pixels, seen = chunk(dataset_source(dataset), range(4, 7), 32, tmp_path)
    assert pixels.shape == (3, 32, 32, 3)
    assert np.array_equal(pixels[1], to_pixels(read_rgb(dataset.references[0]), 32))
    assert seen == [1, 2, 3]
    assert found.unreadable == {}


def test_they_are_made_once_for_a_content_a_size_and_a_pillow(
    dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = dataset_source(read_dataset(dataset_dir))
    first, _, _ = chunk(source, ALL, 32, tmp_path)
    again, _, seen = chunk(source, ALL, 32, tmp_path)
    assert (again, seen) == (first, [])
    assert chunk(source, ALL, 64, tmp_path)[0].path != first.path
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert chunk(source, ALL, 32, tmp_path)[0].path != first.path


def test_past_the_bound_nothing_is_kept(dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_files, "KEPT_BYTES", 6 * 32 * 32 * 3)  # six images of 32 px
    source = dataset_source(read_dataset(dataset_dir))
    kept, _, _ = chunk(source, range(6), 32, tmp_path)
    passing, pixels, seen = chunk(source, range(6, 11), 32, tmp_path)
    assert (len(pixels), len(seen)) == (5, 5)
    assert kept.path.is_file()
    assert not passing.path.exists()
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}


def test_each_bad_image_is_left_black_and_told_by_its_reason(own_dataset_dir: Path, tmp_path: Path) -> None:
    references = own_dataset_dir / "references"
    whole = (references / "r0.png").read_bytes()
    (references / "r1.png").write_bytes(b"")
    (references / "r2.png").write_bytes(whole[: len(whole) // 2])
    huge = BytesIO()
    Image.new("RGB", (1, 1)).save(huge, "BMP")  # a small file that claims a huge picture: the header's width and height
    huge.getbuffer()[18:26] = struct.pack("<ii", 12_000, 12_000)
    (references / "r3.png").write_bytes(huge.getvalue())
    Image.new("CMYK", (8, 8)).save(references / "r4.png", "JPEG")  # readable, whatever the file is called
    for _ in range(2):  # made, then from the disk
        found, pixels, _ = chunk(dataset_source(read_dataset(own_dataset_dir)), range(3, 11), 32, tmp_path / "cache")
        assert list(found.unreadable) == [3, 4, 5]  # r1, r2, r3 of rows 3 to 10
        assert found.unreadable[3] == "the file is empty"
        assert "truncated" in found.unreadable[4]
        assert found.unreadable[5] == "12000x12000 px is over 100,000,000 pixels"
        assert not pixels[3:6].any()


def test_nothing_is_left_where_they_cannot_be_finished(dataset_dir: Path, tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    source = dataset_source(read_dataset(dataset_dir))
    with pytest.raises(KeyboardInterrupt), pixel_chunk(source, ALL, 32, tmp_path, stop):
        pytest.fail("finished")
    assert list(tmp_path.iterdir()) == []
