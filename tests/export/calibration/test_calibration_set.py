"""Calibration views: real photographs and edited copies, the same ones every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.calibration.calibration_set import NUM_VIEWS, calibration_set
from export.calibration.images import MAX_IMAGES
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError


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


def test_each_image_is_recorded_with_what_recognises_it(photos: Path) -> None:
    images = calibration_set(photos, 64).images
    assert images[1].name == "02.png"  # every second of 40 comes first
    assert images[1].sha256 == hashlib.sha256((photos / "02.png").read_bytes()).hexdigest()
    assert len({image.look for image in images}) == MAX_IMAGES


def _blank(folder: Path, number: int) -> None:
    """A plain colour as JPEG leaves it."""
    Image.new("RGB", (40, 30), (10 * number, 90, 200)).save(folder / f"{number}.jpg")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("one image", r"photos holds one image, 0\.png; give some tens of different photographs"),
        ("blank images", r"holds nothing but blank images \(4 of one colour each, the first is 0\.jpg\)"),
        ("one image among blank ones", r"holds one image that is not blank, 9\.png"),
        ("one image again and again", r"holds one photograph 3 times \(0\.png and 1\.png look the same\)"),
        ("copies of one image", r"holds one photograph 2 times \(0\.png and 1\.jpg look the same\)"),
    ],
)
def test_images_that_teach_no_range_are_refused(tmp_path: Path, kind: str, said: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = procedural_picture(0, (80, 60))
    if "blank" in kind:
        for number in range(4):
            _blank(folder, number)
    if kind == "one image among blank ones":
        picture.save(folder / "9.png")
    if kind in {"one image", "one image again and again", "copies of one image"}:
        picture.save(folder / "0.png")
    if kind == "one image again and again":
        for number in (1, 2):
            (folder / f"{number}.png").write_bytes((folder / "0.png").read_bytes())
    if kind == "copies of one image":
        picture.resize((50, 40)).save(folder / "1.jpg", quality=50)
    with pytest.raises(InputError, match=said):
        calibration_set(folder, 64)


def test_two_different_photographs_are_enough(tmp_path: Path) -> None:
    for seed in range(2):
        procedural_picture(seed, (80, 60)).save(tmp_path / f"{seed}.png")
    _blank(tmp_path, 3)
    assert calibration_set(tmp_path, 64).num_images == 3
