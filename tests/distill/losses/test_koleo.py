"""KoLeo, and SSCD's entropy as a setting of it, against values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from distill.losses.koleo import KoLeo
from icd_mobile.errors import InputError

SSCD = {"epsilon": 0.0, "min_squared_distance": 1e-6}


def test_koleo_worked_by_hand(make_batch) -> None:
    # (1,0), (0.6,0.8), (0,1): squared distances 01: 0.16 + 0.64 = 0.8; 12: 0.36 + 0.04 = 0.4; 02: 2. Nearest 0.8, 0.4,
    # 0.4: -log of their roots is 0.111572, 0.458145, 0.458145, mean 0.342621.
    batch = make_batch([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    assert KoLeo()(batch).item() == pytest.approx(0.342621, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, SSCD], ids=["koleo", "entropy"])
def test_only_other_images_count(make_batch, settings: dict[str, float]) -> None:
    # As above with the close pair 1, 2 two views of one image: nearest of 0 is 1 (0.8), of 1 is 0 (0.8), of 2 is 0 (2):
    # (0.111572 + 0.111572 - 0.346574) / 3 = -0.041143.
    batch = make_batch([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 1, 1])
    assert KoLeo(**settings)(batch).item() == pytest.approx(-0.041143, abs=1e-6)


def test_entropy_is_the_formula_of_sscd(make_batch, random_rows) -> None:
    rows, ids = random_rows(6, 3), [0, 0, 1, 1, 2, 2]
    expected = 0.0
    for row, image in zip(rows, ids, strict=True):
        largest = max(
            sum(a * b for a, b in zip(row, other, strict=True))
            for other, other_image in zip(rows, ids, strict=True)
            if other_image != image
        )
        expected -= math.log(math.sqrt(max(2 - 2 * largest, 1e-6))) / 6
    assert KoLeo(**SSCD)(make_batch(rows, ids)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    # -log(1e-8) = 18.420681; -log(sqrt(1e-6)) = 6.907755. The third row is sqrt(2) away: -log = -0.346574.
    [({}, (2 * 18.420681 - 0.346574) / 3), (SSCD, (2 * 6.907755 - 0.346574) / 3)],
    ids=["koleo", "entropy"],
)
def test_duplicates_of_different_images_stay_finite(make_batch, settings: dict[str, float], expected: float) -> None:
    batch = make_batch([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = KoLeo(**settings)(batch)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert torch.isfinite(batch.descriptors.grad).all()


def test_a_close_pair_keeps_its_distance_in_float32(make_batch) -> None:
    # 1e-4 apart: the cosine, 1 - 5e-9, is 1 in float32, and 2 - 2 * cosine would say that the distance is 0.
    batch = make_batch([[1.0, 0.0], [1.0, 1e-4]])
    assert KoLeo()(batch).item() == pytest.approx(-math.log(1e-4 + 1e-8), rel=1e-4)


def test_the_gradient_pushes_a_pair_apart(make_batch) -> None:
    batch = make_batch([[1.0, 0.0], [0.6, 0.8]])
    KoLeo()(batch).backward()
    # At (1, 0) a step down the gradient goes away from (0.6, 0.8): its second component falls.
    assert batch.descriptors.grad[0, 1] > 0


def test_a_batch_of_one_image_has_no_loss(make_batch) -> None:
    batch = make_batch([[1.0, 0.0], [0.6, 0.8]], [3, 3])
    loss = KoLeo()(batch)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.count_nonzero(batch.descriptors.grad) == 0


@pytest.mark.parametrize("settings", [{"epsilon": 0.0}, {"epsilon": -1e-8}, {"min_squared_distance": -1.0}])
def test_settings_under_which_duplicates_are_infinite_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match="koleo: epsilon"):
        KoLeo(**settings)
