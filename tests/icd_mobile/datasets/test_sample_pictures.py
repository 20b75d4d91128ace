"""The embedded sample: real photographs that two packages install, and distractors made by code."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from icd_mobile.datasets.sample_pictures import SamplePhoto, calibration_photos, judged_photos, procedural_picture
from icd_mobile.errors import OutsideError


def _pixel_hashes(photos: list[SamplePhoto]) -> set[str]:
    return {hashlib.sha256(photo.image.tobytes()).hexdigest() for photo in photos}


def test_judged_and_calibration_photos_are_disjoint_by_name_and_by_pixels() -> None:
    judged, calibration = judged_photos(), calibration_photos()
    names = [photo.name for photo in judged + calibration]
    assert (len(judged), len(calibration)) == (15, 6)
    assert len(set(names)) == len(names)
    assert not _pixel_hashes(judged) & _pixel_hashes(calibration)


def test_both_halves_of_the_stereo_pair_stay_in_calibration() -> None:
    calibration = {photo.name for photo in calibration_photos()}
    assert {"motorcycle_left", "motorcycle_right"} <= calibration


def test_every_photo_is_rgb_and_not_tiny() -> None:
    for photo in judged_photos() + calibration_photos():
        assert photo.image.mode == "RGB", photo.name
        assert min(photo.image.size) >= 150, photo.name


def test_a_missing_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(OutsideError, match="pip install scikit-image"):
        judged_photos()


def test_a_package_without_its_photographs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    spec = ModuleSpec("skimage", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    with pytest.raises(OutsideError, match=r"camera\.png.*pip install --force-reinstall scikit-image"):
        calibration_photos()


def test_procedural_pictures_repeat_for_a_seed_and_differ_between_seeds() -> None:
    size_px = (96, 64)
    pictures = [np.asarray(procedural_picture(seed, size_px)) for seed in range(12)]
    assert all(picture.shape == (64, 96, 3) for picture in pictures)
    assert np.array_equal(pictures[3], np.asarray(procedural_picture(3, size_px)))
    assert len({picture.tobytes() for picture in pictures}) == 12
    assert all(picture.std() > 10 for picture in pictures), "a flat picture is no distractor"


def test_importing_the_sample_and_the_edits_imports_no_heavy_library() -> None:
    code = (
        "import sys, icd_mobile.datasets.sample_pictures, icd_mobile.pictures.edits; "
        "print({'torch', 'skimage', 'sklearn', 'timm'} & sys.modules.keys() or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"
