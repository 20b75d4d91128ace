"""Calibration views: real photographs and edited copies, the same ones every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.calibration import MAX_IMAGES, NUM_VIEWS, calibration_set


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(40):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(tmp_path / f"{index:02d}.png")
    return tmp_path


def test_the_embedded_sample_gives_64_views_of_6_photographs() -> None:
    calibration = calibration_set(None, 64)
    assert calibration.views.shape == (NUM_VIEWS, 64, 64, 3)
    assert calibration.num_images == 6
    assert calibration.skipped == ()


def test_the_same_images_give_the_same_views(photos: Path) -> None:
    assert calibration_set(photos, 64).sha256 == calibration_set(photos, 64).sha256


def test_a_folder_gives_at_most_32_images_and_edited_copies_of_them(photos: Path) -> None:
    calibration = calibration_set(photos, 64)
    assert (calibration.num_images, len(calibration.views)) == (MAX_IMAGES, NUM_VIEWS)
    originals, copies = calibration.views[:MAX_IMAGES], calibration.views[MAX_IMAGES:]
    changed = [not (originals == view).all(axis=(1, 2, 3)).any() for view in copies]
    assert sum(changed) >= 0.9 * len(copies)  # a stretch may vanish in the squeeze to a square


def test_a_few_more_files_than_needed_are_still_spread_over_the_folder(photos: Path) -> None:
    """Of 40 files every second comes first, then the gaps from the start: the last one is among them."""
    first = calibration_set(photos, 64).sha256
    (photos / "38.png").unlink()
    assert calibration_set(photos, 64).sha256 != first


def test_where_half_of_a_folder_is_corrupt_the_other_half_is_used(photos: Path) -> None:
    for index in range(0, 40, 2):
        (photos / f"{index:02d}.png").write_bytes(b"cut")
    calibration = calibration_set(photos, 64)
    assert (calibration.num_images, len(calibration.skipped)) == (20, 20)


def test_an_unreadable_image_is_passed_over_for_the_next(photos: Path) -> None:
    (photos / "00.png").write_bytes(b"cut")
    calibration = calibration_set(photos, 64)
    assert calibration.skipped == ("00.png",)
    assert calibration.num_images == MAX_IMAGES
