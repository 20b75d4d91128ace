"""Chains of edits: what each strength promises, and that no picture is too odd for one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icd_mobile.datasets.made.edit_chains import (
    MIXED_SHARES,
    STRENGTHS,
    draw_chain,
    draw_strength,
    edited_copy,
    limited,
    needs_background,
)
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.edits import EDITS

CROPS, PASTINGS = {"crop", "heavy_crop"}, {"overlay", "collage", "sticker"}
sides_px = st.one_of(st.integers(1, 9), st.sampled_from([40, 1000]))
sizes_px = st.tuples(sides_px, sides_px)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_chain_is_what_its_strength_says(name: str) -> None:
    strength = STRENGTHS[name]
    least, most = strength.num_edits
    chains = [draw_chain(strength, np.random.default_rng(seed)) for seed in range(400)]
    assert {len(edits) for edits in chains} == set(range(least, most + 1))
    assert {edit for edits in chains for edit in edits} == set(strength.edits)
    for edits in chains:
        assert len(set(edits)) == len(edits)
        assert not strength.one_of or set(edits) & set(strength.one_of)


def test_a_crop_comes_before_what_is_pasted_and_there_is_one_of_each_at_most() -> None:
    for seed in range(400):
        edits = draw_chain(STRENGTHS["hard"], np.random.default_rng(seed))
        assert len(CROPS.intersection(edits)) <= 1
        assert len(PASTINGS.intersection(edits)) <= 1
        assert not CROPS.intersection(edits[1:]), edits


def test_every_edit_of_the_challenge_is_used() -> None:
    assert {edit for strength in STRENGTHS.values() for edit in strength.edits} == set(EDITS)


def test_mixed_draws_each_strength_by_its_share() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw_strength("mixed", rng) for _ in range(4000))
    for name, share in MIXED_SHARES.items():
        assert drawn[name] / 4000 == pytest.approx(share, abs=0.03)  # four standard deviations
    assert draw_strength("hard", rng) == "hard"


def test_the_edits_that_need_a_background_are_those_that_read_it() -> None:
    photo, red, green = (
        procedural_picture(0, (60, 40)),
        Image.new("RGB", (50, 50), "red"),
        Image.new("RGB", (50, 50), "lime"),
    )
    for name in EDITS:
        on_red, on_green = (edited_copy(photo, other, (name,), np.random.default_rng(1), 99) for other in (red, green))
        assert (on_red.tobytes() != on_green.tobytes()) == needs_background((name,)), name


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(sides_px, sides_px),
    other=st.tuples(sides_px, sides_px),
    name=st.sampled_from([*STRENGTHS]),
    seed=seeds,
)
def test_a_copy_of_any_shape_stays_a_picture_within_the_limit(
    size: tuple[int, int], other: tuple[int, int], name: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image, background = Image.new("RGB", size, "teal"), Image.new("RGB", other, "tan")
    edited = edited_copy(image, background, draw_chain(STRENGTHS[name], rng), rng, limit_px=128)
    assert edited.mode == "RGB"
    assert 1 <= min(edited.size) <= max(edited.size) <= 128


def test_a_copy_repeats_and_leaves_its_sources_as_they_were() -> None:
    photo, other = procedural_picture(0, (60, 40)), procedural_picture(1, (40, 60))
    before = photo.tobytes(), other.tobytes()
    edits = ("heavy_crop", "noise", "overlay")
    first, again = (edited_copy(photo, other, edits, np.random.default_rng(5), 99) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert (photo.tobytes(), other.tobytes()) == before


def test_limited_keeps_the_aspect_and_never_enlarges() -> None:
    assert limited(Image.new("RGB", (200, 50)), 100).size == (100, 25)
    assert limited(Image.new("RGB", (20, 50)), 100).size == (20, 50)


def test_an_unknown_edit_is_refused() -> None:
    picture = Image.new("RGB", (9, 9))
    with pytest.raises(InputError, match=r"unknown edit 'blurr'.*did you mean 'blur'"):
        edited_copy(picture, picture, ("blurr",), np.random.default_rng(0), 99)
