"""Edits are pure: the same generator state gives the same RGB pixels, and the inputs stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icd_mobile.datasets.sample_pictures import calibration_photos, procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.edits import EDITS, apply_chain


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A photograph in colour, small enough to be quick."""
    image = next(photo.image for photo in calibration_photos() if photo.name == "chelsea")
    return image.resize((150, 100))


@pytest.fixture(scope="module")
def other() -> Image.Image:
    return procedural_picture(1, (120, 160))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_gives_a_changed_rgb_image_and_repeats(name: str, photo: Image.Image, other: Image.Image) -> None:
    before = photo.tobytes(), other.tobytes()
    for seed in range(8):
        edited = EDITS[name](photo, np.random.default_rng(seed), other)
        again = EDITS[name](photo, np.random.default_rng(seed), other)
        assert edited.mode == "RGB"
        assert edited.size != photo.size or edited.tobytes() != photo.tobytes()
        assert edited.size == again.size
        assert edited.tobytes() == again.tobytes()
    assert (photo.tobytes(), other.tobytes()) == before


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("size_px", [(1, 1), (3, 200), (200, 3)])
def test_an_edit_survives_extreme_shapes(name: str, size_px: tuple[int, int], other: Image.Image) -> None:
    thin = procedural_picture(2, size_px)
    for image, background in ((thin, other), (other, thin)):
        edited = EDITS[name](image, np.random.default_rng(0), background)
        assert edited.mode == "RGB"
        assert min(edited.size) >= 1


def test_flip_mirrors_a_worked_example() -> None:
    row = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))  # one row: top to bottom changes nothing
    results = {EDITS["flip"](row, np.random.default_rng(seed), row).tobytes() for seed in range(40)}
    assert results == {bytes([4, 5, 6, 1, 2, 3]), bytes([1, 2, 3, 4, 5, 6])}


def test_crop_keeps_the_stated_share_of_each_side(photo: Image.Image, other: Image.Image) -> None:
    for name, low, high in (("crop", 0.6, 0.9), ("heavy_crop", 0.3, 0.5)):
        for seed in range(20):
            cropped = EDITS[name](photo, np.random.default_rng(seed), other)
            for kept_px, side_px in zip(cropped.size, photo.size, strict=True):
                assert low * side_px - 1 <= kept_px <= high * side_px + 1


def test_overlay_keeps_the_size_of_its_background(photo: Image.Image, other: Image.Image) -> None:
    assert EDITS["overlay"](photo, np.random.default_rng(0), other).size == other.size


def test_a_chain_names_its_edits_in_order_and_repeats(photo: Image.Image, other: Image.Image) -> None:
    edited, names = apply_chain(photo, np.random.default_rng(7), other, 3)
    again, names_again = apply_chain(photo, np.random.default_rng(7), other, 3)
    assert names == names_again
    assert edited.tobytes() == again.tobytes()
    assert len(set(names)) == 3
    assert set(names) <= EDITS.keys()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.one_of(st.integers(1, 9), st.sampled_from([40, 500]))] * 4),
    num_edits=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_chain_survives_any_shape(sizes: tuple[int, int, int, int], num_edits: int, seed: int) -> None:
    thin, background = Image.new("RGB", sizes[:2], "teal"), Image.new("RGB", sizes[2:], "tan")
    edited, names = apply_chain(thin, np.random.default_rng(seed), background, num_edits)
    assert edited.mode == "RGB"
    assert min(edited.size) >= 1
    assert len(names) == num_edits


def test_a_chain_takes_a_grey_image(other: Image.Image) -> None:
    edited, names = apply_chain(Image.new("L", (40, 30), 90), np.random.default_rng(0), other.convert("L"), 2)
    assert edited.mode == "RGB"
    assert len(names) == 2


@pytest.mark.parametrize("num_edits", [0, len(EDITS) + 1])
def test_a_chain_of_an_impossible_length_is_refused(num_edits: int, photo: Image.Image, other: Image.Image) -> None:
    with pytest.raises(InputError, match=f"got {num_edits}"):
        apply_chain(photo, np.random.default_rng(0), other, num_edits)
