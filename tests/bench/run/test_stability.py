"""Stability: which edits, of which pictures, and when the canary has failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.records.record import EDITS, Stability
from bench.run import stability as module
from bench.run.stability import EDIT_OF, stability_of, stability_source
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import read_rgb, to_pixels

NUM_ROWS = 1 + len(EDITS) + 1  # unedited, the edits, the canary


def test_rows_are_the_picture_then_its_edits_then_the_canary(dataset_dir: Path) -> None:
    dataset = read_dataset(dataset_dir)
    source = stability_source(dataset)
    assert source.num_images == 6 * NUM_ROWS
    picture = to_pixels(read_rgb(dataset_dir / source.image_name(0)), 64)
    rows = [source.pixels(row, 64) for row in range(NUM_ROWS)]
    assert np.array_equal(rows[0], picture)
    assert np.array_equal(rows[3][:, 1:], picture[:, :-1])  # shift: each column is its left neighbour
    assert np.array_equal(rows[-1], picture[:, :, ::-1])
    for edited in rows[1:-1]:
        assert edited.shape == (64, 64, 3)
        assert 0 < np.abs(edited.astype(int) - picture).mean() < 12
    assert source.image_name(NUM_ROWS) != source.image_name(0)


def test_lower_jpeg_quality_moves_pixels_more(dataset_dir: Path) -> None:
    source = stability_source(read_dataset(dataset_dir))
    picture, fine, coarse = (source.pixels(row, 96).astype(int) for row in range(3))
    assert np.abs(coarse - picture).mean() > np.abs(fine - picture).mean()


def test_without_antialias_fine_stripes_do_not_turn_grey() -> None:
    rows = np.zeros((96, 96, 3), dtype=np.uint8)
    rows[::2] = 255
    stripes = Image.fromarray(rows)  # a third of the size takes its rows from the middles 1, 4, 7, ...: black, white
    assert np.ptp(to_pixels(stripes, 32)[2:-2].astype(int)) < 128
    assert np.ptp(EDIT_OF["bilinear, no antialias"](stripes, 32).astype(int)) == 255


def test_choice_and_identity_are_the_same_each_time(dataset_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = read_dataset(dataset_dir)
    assert stability_source(dataset).sha256 == stability_source(dataset).sha256
    monkeypatch.setattr(module, "NUM_IMAGES", 2)
    assert stability_source(dataset).num_images == 2 * NUM_ROWS
    assert stability_source(dataset).sha256 != dataset.sha256


def test_grey_and_broken_pictures_are_passed_over(own_dataset_dir: Path) -> None:
    references = sorted((own_dataset_dir / "references").iterdir())
    for path in references[:4]:
        read_rgb(path).convert("L").save(path)
    references[4].write_bytes(b"no picture")
    assert stability_source(read_dataset(own_dataset_dir)).num_images == NUM_ROWS
    references[5].write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of 6 references is a readable picture with colours"):
        stability_source(read_dataset(own_dataset_dir))


def test_cosines_are_to_the_unedited_picture() -> None:
    e = np.eye(2, dtype=np.float32)
    one = [e[0], *([0.6 * e[0] + 0.8 * e[1]] * len(EDITS)), e[1]]
    two = [e[1], *([e[1]] * len(EDITS)), e[0]]
    found = stability_of(np.stack([*one, *two]).astype(np.float32))
    assert found.num_images == 2
    assert set(found.cosines) == set(EDITS)
    for cosines in found.cosines.values():
        assert cosines == pytest.approx((0.6, 1.0))
    assert found.canary_cosines == (0.0, 0.0)


@pytest.mark.parametrize(
    ("canary", "failed"), [((0.9, 0.91, 0.2), False), ((1.0, 1.0, 1.0), True), ((0.98,) * 3, True)]
)
def test_canary_fails_where_the_swap_is_as_mild_as_the_mildest_edit(canary: tuple[float, ...], failed: bool) -> None:
    cosines = dict.fromkeys(EDITS, (0.9, 0.95, 0.97)) | {"bicubic": (0.97, 0.98, 0.99)}  # medians 0.95 and 0.98
    assert Stability(num_images=3, cosines=cosines, canary_cosines=canary).ignores_colour == failed


@pytest.mark.parametrize(("sees_colour", "failed"), [(True, False), (False, True)])
def test_canary_on_real_edits_tells_who_sees_colour(dataset_dir: Path, sees_colour: bool, failed: bool) -> None:
    source = stability_source(read_dataset(dataset_dir))
    rows = []
    for row in range(source.num_images):
        pixels = source.pixels(row, 64).astype(np.float64)
        if not sees_colour:
            pixels = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
        means = pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)).ravel() - 127.5
        rows.append(means / np.linalg.norm(means))
    assert stability_of(np.array(rows, dtype=np.float32)).ignores_colour == failed
