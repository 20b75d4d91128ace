"""SSCD's pipelines have its order and numbers; views are pure in their generator and always S x S."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from distill.augmentations import AUGMENTATIONS, open_augmentation
from distill.augmentations.geometric import RandomCrop
from distill.augmentations.overlays import Emoji, Text
from distill.augmentations.photometric import Blur, ColorJitter, Jpeg, functional
from distill.augmentations.pipeline import Context, OneOf, Step, draw_view
from distill.augmentations.screenshot import Screenshot
from icd_mobile.datasets.sample_pictures import calibration_photos, procedural_picture
from icd_mobile.errors import InputError

# SSCD's `transforms/settings.py`: each step's probability and numbers, in order. RandomResizedCrop's are torchvision's.
ADVANCED = [
    (0.5, "HorizontalFlip()"),
    (0.05, "QuarterTurn()"),
    (0.1, "Text(size=(0.1, 0.3), opacity=(0.1, 1.0))"),
    (0.2, "Emoji(size=(0.1, 0.5), opacity=(0.7, 1.0))"),
    (0.05, "Rotate(degrees=(0, 359))"),
    (1.0, f"RandomResizedCrop(scale=(0.08, 1.0), ratio=(0.75, {4 / 3}))"),
    (0.8, "ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)"),
    (0.2, "Grayscale()"),
    (0.5, "Blur(radius_px=(1.0, 5.0))"),
    (0.2, "Jpeg(quality=(0, 100))"),
]
STRONG_BLUR = [ADVANCED[5], ADVANCED[0], *ADVANCED[6:9]]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    image = next(photo.image for photo in calibration_photos() if photo.name == "chelsea")
    return image.resize((150, 100))


@pytest.fixture(scope="module")
def context() -> Context:
    other = procedural_picture(1, (120, 160))
    return Context(64, lambda _rng: other)


@pytest.mark.parametrize(("name", "expected"), [("advanced", ADVANCED), ("strong_blur", STRONG_BLUR), ("none", [])])
def test_sscd_pipelines_have_its_order_and_numbers(name: str, expected: list[tuple[float, str]]) -> None:
    assert [(step.probability, repr(step.transform)) for step in open_augmentation(name)] == expected


def test_steps_are_applied_as_often_as_they_say(photo: Image.Image, context: Context) -> None:
    """4,000 views; a share of probability p is within 4 sqrt(p (1 - p) / 4000) of it but for 1 chance in 16,000."""
    num_views = 4000
    applied: Counter[int] = Counter()

    def spy(index: int, step: Step) -> Step:
        def count(image: Image.Image, _rng: np.random.Generator, _context: Context, /) -> Image.Image:
            applied[index] += 1
            return image

        return replace(step, transform=count)

    tiny = photo.resize((8, 8))
    pipeline = tuple(spy(index, step) for index, step in enumerate(open_augmentation("advanced")))
    for seed in range(num_views):
        draw_view(pipeline, tiny, np.random.default_rng(seed), Context(8, context.other))
    for index, (p, what) in enumerate(ADVANCED):
        assert abs(applied[index] / num_views - p) <= 4 * math.sqrt(p * (1 - p) / num_views), what


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_view_is_square_and_the_same_for_the_same_seed(name: str, photo: Image.Image, context: Context) -> None:
    before = photo.tobytes()
    pipeline = open_augmentation(name)
    views = [draw_view(pipeline, photo, np.random.default_rng(seed), context) for seed in range(40)]
    again = [draw_view(pipeline, photo, np.random.default_rng(seed), context) for seed in range(40)]
    assert all(view.shape == (64, 64, 3) and view.dtype == np.uint8 for view in views)
    assert all(np.array_equal(view, other) for view, other in zip(views, again, strict=True))
    assert len({view.tobytes() for view in views}) == (1 if name == "none" else 40)
    assert photo.tobytes() == before


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size_px", [(1, 1), (3, 200), (200, 3)])
def test_a_view_of_an_extreme_shape_is_square(name: str, size_px: tuple[int, int], context: Context) -> None:
    thin = procedural_picture(2, size_px)
    for seed in range(60):
        view = draw_view(open_augmentation(name), thin, np.random.default_rng(seed), context)
        assert view.shape == (64, 64, 3)


def test_an_unknown_augmentation_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'strong_blur'"):
        open_augmentation("strongblur")


@pytest.mark.parametrize(("size_px", "low", "high"), [(224, 1.0, 5.0), (112, 0.5, 2.5)])
def test_blur_draws_its_radius_at_sscd_size_and_scales_it(
    size_px: int, low: float, high: float, photo: Image.Image, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    radii: list[float] = []

    def spy(radius: float) -> ImageFilter.BoxBlur:
        radii.append(radius)
        return ImageFilter.BoxBlur(1)

    monkeypatch.setattr("distill.augmentations.photometric.ImageFilter.GaussianBlur", spy)
    for seed in range(200):
        Blur((1.0, 5.0))(photo, np.random.default_rng(seed), replace(context, size_px=size_px))
    assert low <= min(radii) < low + 0.05 * high
    assert 0.95 * high < max(radii) <= high


def test_colour_jitter_draws_torchvision_factors_in_a_random_order(
    photo: Image.Image, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Factors in 1 - 0.8..1 + 0.8, hue in -0.2..0.2 of a turn; each of the four first about as often as the others."""
    calls: list[tuple[str, float]] = []
    for name in ("brightness", "contrast", "saturation", "hue"):
        monkeypatch.setattr(
            functional, f"adjust_{name}", lambda image, factor, name=name: calls.append((name, factor)) or image
        )
    for seed in range(400):
        ColorJitter(0.8, 0.8, 0.8, 0.2)(photo, np.random.default_rng(seed), context)
    for name in ("brightness", "contrast", "saturation"):
        factors = [factor for called, factor in calls if called == name]
        assert len(factors) == 400
        assert 0.2 <= min(factors) < 0.25
        assert 1.75 < max(factors) <= 1.8
    hues = [factor for called, factor in calls if called == "hue"]
    assert -0.2 <= min(hues) < -0.19
    assert 0.19 < max(hues) <= 0.2
    first = Counter(name for name, _ in calls[::4])
    # 400 draws at 1/4: 100 +- 4 sqrt(400 * 1/4 * 3/4) = 100 +- 35
    assert all(65 <= first[name] <= 135 for name in ("brightness", "contrast", "saturation", "hue"))


def test_jpeg_draws_every_integer_quality(
    photo: Image.Image, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    qualities: set[int] = set()
    save = Image.Image.save

    def spy(self: Image.Image, *words: object, **options: int) -> None:
        qualities.add(options["quality"])
        save(self, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", spy)
    tiny = photo.resize((8, 8))
    for seed in range(1500):  # one of 101 is missed with a chance of 101 * (100 / 101)^1500 = 3e-5
        Jpeg((0, 100))(tiny, np.random.default_rng(seed), context)
    assert qualities == set(range(101))


def test_a_crop_keeps_the_stated_area_and_aspect() -> None:
    """On 400 x 300 rounding moves a side of 80 px or more by at most half a pixel: under 2 % of area and aspect."""
    crop = RandomCrop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    shares, ratios = [], []
    for seed in range(500):
        top, left, height, width = crop.draw_box(400, 300, np.random.default_rng(seed))
        assert 0 <= top <= 300 - height
        assert 0 <= left <= 400 - width
        shares.append(height * width / (400 * 300))
        ratios.append(width / height)
    assert 0.08 * 0.98 <= min(shares) < 0.1
    assert 0.9 < max(shares) <= 1.0
    assert 0.75 * 0.98 <= min(ratios) < 0.77
    assert 1.3 < max(ratios) <= 4 / 3 * 1.02


@pytest.mark.parametrize(
    ("size_px", "box"),
    [
        ((1000, 30), (0, 480, 30, 40)),  # the largest box of aspect 4/3: 40 x 30, centred
        ((30, 1000), (480, 0, 40, 30)),  # of aspect 3/4: 30 x 40
    ],
)
def test_a_crop_that_cannot_fit_is_the_largest_centred_box(
    size_px: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    # 8 % of 1000 x 30 is 2,400 px2: at an aspect of 3/4..4/3 at least 42 px high, more than there is
    crop = RandomCrop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    assert crop.draw_box(*size_px, np.random.default_rng(0)) == box


def test_an_emoji_covers_its_share_of_the_shorter_side(context: Context) -> None:
    plain = Image.new("RGB", (300, 200), (1, 2, 3))
    for seed in range(60):
        covered = np.asarray(Emoji((0.1, 0.5), (0.7, 1.0))(plain, np.random.default_rng(seed), context))
        rows, columns = np.nonzero((covered != (1, 2, 3)).any(axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(height, width) <= 100  # half of 200
        assert max(height, width) >= 14  # a tenth is 20, and the smallest drawing fills 0.7 of its square


def test_text_is_one_colour_at_its_opacity(context: Context) -> None:
    """On black, the strongest pixel of ink i at opacity o is about i * o; with i <= 255 and o = 0.1 at most 26."""
    black = Image.new("RGB", (300, 200))
    strongest = [
        int(np.asarray(Text((0.1, 0.3), (0.1, 0.1))(black, np.random.default_rng(seed), context)).max())
        for seed in range(60)
    ]
    assert 20 <= max(strongest) <= 26


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_pipeline_travels_to_a_spawned_worker(name: str) -> None:
    pipeline = open_augmentation(name)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


def test_one_of_follows_its_shares(photo: Image.Image, context: Context) -> None:
    def kept(image: Image.Image, _rng: np.random.Generator, _context: Context, /) -> Image.Image:
        return image

    def blank(image: Image.Image, _rng: np.random.Generator, _context: Context, /) -> Image.Image:
        return Image.new("RGB", image.size)

    chosen = OneOf((Step(0.25, kept), Step(0.75, blank)))
    num_kept = sum(chosen(photo, np.random.default_rng(seed), context) is photo for seed in range(1000))
    assert abs(num_kept - 250) <= 55  # 4 sqrt(1000 * 0.25 * 0.75)


def test_a_screenshot_holds_the_whole_image_at_its_share(context: Context) -> None:
    for seed in range(30):
        image = procedural_picture(seed, (90, 80))
        screen = np.asarray(Screenshot((0.5, 0.8))(image, np.random.default_rng(seed), context))
        assert screen.shape[1] == 90
        assert 100 - 1 <= screen.shape[0] <= 160 + 1  # 80 / 0.8 .. 80 / 0.5
        pixels = np.asarray(image)
        assert any(np.array_equal(screen[top : top + 80], pixels) for top in range(screen.shape[0] - 79))


def test_copy_draws_another_photograph_only_where_it_pastes_one(photo: Image.Image) -> None:
    """Overlay, collage and sticker: 0.55 * 0.75 of the views."""
    drawn = 0

    def other(_rng: np.random.Generator) -> Image.Image:
        nonlocal drawn
        drawn += 1
        return photo

    for seed in range(500):
        draw_view(open_augmentation("copy"), photo, np.random.default_rng(seed), Context(32, other))
    assert abs(drawn - 206) <= 44  # 500 * 0.4125; 4 sqrt(500 * 0.4125 * 0.5875)
