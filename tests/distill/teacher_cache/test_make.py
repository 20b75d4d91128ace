"""A cache is the same bytes however often its making was cut, fits one key only, and gives every view its turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader

from distill.augmentations import open_augmentation
from distill.augmentations.views import ViewKey, collate_views, draw_views
from distill.teacher_cache.key import CacheKey, check_fits, read_key, read_names
from distill.teacher_cache.make import build_cache, cache_key
from distill.teacher_cache.shards import record_dtype
from distill.teacher_cache.views import CachedViews, choose_views
from distill.teachers.teacher import Network, Teacher
from distill.training.sampling import BatchSampler
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import GateError, InputError
from icd_mobile.pictures.collection import Photos, open_photos
from icd_mobile.pictures.preprocessing import to_pixels

NUM_PHOTOS, NUM_VIEWS, SIZE_PX = 10, 4, 32


class MeanColor(nn.Module):
    """Describes an image by its mean colour; stops after a number of calls, as a kill would."""

    def __init__(self, calls_left: int) -> None:
        super().__init__()
        self.calls_left = calls_left

    def forward(self, images: Tensor) -> Tensor:
        if not self.calls_left:
            raise KeyboardInterrupt
        self.calls_left -= 1
        return images.mean(dim=(2, 3)) + 1e-3


def color_teacher(calls_left: int = 1000, input_size_px: int = SIZE_PX) -> Teacher:
    network = Network(MeanColor(calls_left), 3, input_size_px, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Teacher("color", network, "0" * 64, "MIT", "made by a test")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(NUM_PHOTOS):
        procedural_picture(seed, (40, 30)).save(folder / f"{seed}.png")
    return open_photos(folder).photos


def _key(photos: Photos, teacher: Teacher, seed: int = 0) -> CacheKey:
    return cache_key(photos, "advanced", seed, NUM_VIEWS, SIZE_PX, teacher, photos_per_shard=3)


@pytest.fixture(scope="module")
def cache_dir(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache")
    build_cache(path, photos, color_teacher(), _key(photos, color_teacher()))
    return path


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cache_that_was_cut_is_finished_to_the_same_bytes(photos: Photos, cache_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_cache(tmp_path, photos, color_teacher(calls_left=2), _key(photos, color_teacher()))
    (tmp_path / ".shard-00002.npy.999999999.tmp").write_bytes(b"what a kill -9 leaves")
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["shard-00000.npy", "shard-00001.npy"]
    with pytest.raises(InputError, match="lacks 2 of 4 shards; run the same cache-teacher command again"):
        CachedViews(tmp_path, 2, seed=0)
    teacher = color_teacher(calls_left=2)  # one call a shard of three photographs: what is there is not made again
    build_cache(tmp_path, photos, teacher, _key(photos, teacher), num_workers=1)
    assert _contents(tmp_path) == _contents(cache_dir)
    assert len(_contents(tmp_path)) == 6  # four shards, the key, the names


def test_a_record_is_a_view_and_the_teacher_of_it(photos: Photos, cache_dir: Path) -> None:
    """The teacher's side is S, so what is stored is what was described."""
    cached = CachedViews(cache_dir, NUM_VIEWS, seed=0)
    for image_id in (0, 9):
        key = ViewKey(5, image_id)
        item = cached[key]
        drawn = draw_views(photos, ViewKey(0, image_id), open_augmentation("advanced"), NUM_VIEWS, SIZE_PX, seed=0)
        assert np.array_equal(item.views, drawn[choose_views(NUM_VIEWS, NUM_VIEWS, 0, key)])
        images = torch.from_numpy(item.views).permute(0, 3, 1, 2).float() / 255
        assert item.teacher_descriptors is not None
        np.testing.assert_allclose(item.teacher_descriptors, color_teacher().describe(images), atol=1e-6)


def test_a_larger_teacher_sees_the_view_before_it_is_reduced(photos: Photos, tmp_path: Path) -> None:
    from PIL import Image

    teacher = color_teacher(input_size_px=48)
    build_cache(tmp_path, photos, teacher, _key(photos, teacher))
    assert read_key(tmp_path).render_size_px == 48
    item = CachedViews(tmp_path, NUM_VIEWS, seed=0)[ViewKey(0, 4)]
    drawn = draw_views(photos, ViewKey(0, 4), open_augmentation("advanced"), NUM_VIEWS, 48, seed=0)
    order = choose_views(NUM_VIEWS, NUM_VIEWS, 0, ViewKey(0, 4))
    reduced = np.stack([to_pixels(Image.fromarray(view), SIZE_PX) for view in drawn[order]])
    assert np.array_equal(item.views, reduced)
    images = torch.from_numpy(drawn[order]).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(item.teacher_descriptors, teacher.describe(images), atol=1e-6)  # type: ignore[arg-type]


def test_a_smaller_teacher_sees_what_is_stored_reduced(photos: Photos, tmp_path: Path) -> None:
    """Half of S: bilinear with antialiasing weighs 1, 3, 3, 1 over four pixels of a side, inside the image."""
    teacher = color_teacher(input_size_px=SIZE_PX // 2)
    build_cache(tmp_path, photos, teacher, _key(photos, teacher))
    assert read_key(tmp_path).render_size_px == SIZE_PX
    item = CachedViews(tmp_path, 1, seed=0)[ViewKey(0, 4)]
    images = torch.from_numpy(item.views).permute(0, 3, 1, 2).float() / 255
    weights = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    halving = torch.zeros(SIZE_PX // 2, SIZE_PX)
    for row in range(SIZE_PX // 2):
        for tap in range(4):
            if 0 <= 2 * row - 1 + tap < SIZE_PX:
                halving[row, 2 * row - 1 + tap] = weights[tap]
    halving /= halving.sum(dim=1, keepdim=True)  # at the border what is outside does not count
    reduced = halving @ images @ halving.T
    np.testing.assert_allclose(item.teacher_descriptors, teacher.describe(reduced), atol=1e-5)  # type: ignore[arg-type]


def test_every_view_has_its_turn_before_any_comes_again() -> None:
    rounds = set()
    for round_number in range(6):
        turns = [choose_views(8, 2, 0, ViewKey(4 * round_number + turn, 7)) for turn in range(4)]
        assert sorted(view for turn in turns for view in turn) == list(range(8))
        rounds.add(str(turns))
    assert len(rounds) == 6, "views are paired anew in each round"
    assert choose_views(8, 2, 0, ViewKey(0, 7)) != choose_views(8, 2, 1, ViewKey(0, 7))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32), st.integers(0, 1000))
def test_the_views_of_an_epoch_are_different_ones(num_stored: int, num_views: int, seed: int, epoch: int) -> None:
    num_views = min(num_views, num_stored)
    views = choose_views(num_stored, num_views, seed, ViewKey(epoch, 3))
    assert len(set(views)) == num_views
    assert set(views) <= set(range(num_stored))


def test_batches_carry_the_descriptors(cache_dir: Path) -> None:
    cached = CachedViews(cache_dir, 2, seed=0)
    sampler = BatchSampler(len(cached), 5, 1, seed=0)
    batches = list(DataLoader(cached, batch_sampler=sampler, num_workers=2, collate_fn=collate_views))
    assert [batch.views.shape for batch in batches] == [(5, 2, 3, SIZE_PX, SIZE_PX)] * 2
    assert all(
        batch.teacher_descriptors is not None and batch.teacher_descriptors.shape == (5, 2, 3) for batch in batches
    )


def test_a_cache_of_another_key_is_refused(photos: Photos, cache_dir: Path) -> None:
    before = _contents(cache_dir)
    with pytest.raises(InputError, match="was made with seed 0, this run has 1"):
        build_cache(cache_dir, photos, color_teacher(), _key(photos, color_teacher(), seed=1))
    assert _contents(cache_dir) == before
    found = read_key(cache_dir)
    check_fits(cache_dir, found, augmentation="advanced", teacher_weights_sha256="0" * 64)
    for name, value in found.model_dump().items():
        other = value + 1 if isinstance(value, int) else f"{value}x"
        with pytest.raises(InputError, match=f"was made with {name} "):
            check_fits(cache_dir, found, **{name: other})


def test_a_folder_without_a_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no teacher cache at .*; make one with"):
        CachedViews(tmp_path, 2, seed=0)


def test_more_views_than_are_stored_are_refused(cache_dir: Path) -> None:
    with pytest.raises(InputError, match="has 4 views a photograph, 5 are asked"):
        CachedViews(cache_dir, 5, seed=0)


@pytest.mark.parametrize("change", [{"extra": 1}, {"seed": "0"}, {"schema_version": 2}])
def test_a_key_that_is_not_ours_is_refused(change: dict[str, object], cache_dir: Path, tmp_path: Path) -> None:
    text = json.dumps(json.loads((cache_dir / "cache.json").read_text()) | change)
    (tmp_path / "cache.json").write_text(text)
    with pytest.raises(InputError, match="make the cache again"):
        read_key(tmp_path)


def test_the_names_stand_in_the_order_of_the_ids(photos: Photos, cache_dir: Path, tmp_path: Path) -> None:
    key = read_key(cache_dir)
    assert read_names(cache_dir, key) == [file.name for file in photos.files]
    for damaged in ("[", '{"a": 1}', "[1]", '["0.png"]'):
        (tmp_path / "photographs.json").write_text(damaged)
        with pytest.raises(InputError, match=r"photographs\.json .*; run the same cache-teacher command again"):
            read_names(tmp_path, key)


def test_a_truncated_or_foreign_shard_is_refused(cache_dir: Path, tmp_path: Path) -> None:
    for name, content in _contents(cache_dir).items():
        (tmp_path / name).write_bytes(content)
    shard = tmp_path / "shard-00001.npy"
    whole = shard.read_bytes()
    for damaged in (whole[:-1], b"", b"\x93NUMPY\x01\x00", (tmp_path / "shard-00003.npy").read_bytes()):
        shard.write_bytes(damaged)
        with pytest.raises(InputError, match=r"shard-00001.npy is .*; delete it and run the same cache-teacher again"):
            CachedViews(tmp_path, 2, seed=0)


def test_a_shard_opens_in_numpy(cache_dir: Path) -> None:
    records = np.load(cache_dir / "shard-00003.npy")
    assert records.shape == (1, NUM_VIEWS)  # the tenth photograph is alone in it
    assert records.dtype == record_dtype(read_key(cache_dir))


def test_descriptors_that_are_not_finite_stop_the_work(photos: Photos, tmp_path: Path) -> None:
    class Broken(MeanColor):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * float("nan")

    whole = color_teacher()
    teacher = replace(whole, network=replace(whole.network, features=Broken(1)))
    with pytest.raises(GateError, match=r"not finite for 0.png"):
        build_cache(tmp_path, photos, teacher, _key(photos, teacher))
    assert not list(tmp_path.glob("*.npy"))


def test_a_teacher_that_describes_all_alike_stops_the_work(photos: Photos, tmp_path: Path) -> None:
    class Constant(MeanColor):
        def forward(self, images: Tensor) -> Tensor:
            return torch.ones_like(super().forward(images))

    whole = color_teacher()
    teacher = replace(whole, network=replace(whole.network, features=Constant(1)))
    with pytest.raises(GateError, match=r"describes 3 photographs alike, from 0.png on"):
        build_cache(tmp_path, photos, teacher, _key(photos, teacher))
    assert not list(tmp_path.glob("*.npy"))


def test_a_cache_of_the_same_teacher_at_another_size_is_refused_and_stays(photos: Photos, tmp_path: Path) -> None:
    """Where the student's size is the larger, views are drawn alike for both, and only this field tells them apart."""
    small, large = color_teacher(), replace(color_teacher(), network=replace(color_teacher().network, input_size_px=16))
    build_cache(tmp_path, photos, small, _key(photos, small))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=rf"made with teacher_size_px {small.input_size_px}, this run has 16"):
        build_cache(tmp_path, photos, large, _key(photos, large))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_cache_without_room_is_refused_before_the_work(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 photographs x 4 views x (32 * 32 * 3 + 3 * 4) bytes = 123,360."""

    class Usage:
        free = 123_359

    monkeypatch.setattr("distill.teacher_cache.make.shutil.disk_usage", lambda _path: Usage)
    with pytest.raises(InputError, match=r"the cache needs 0\.1 MB at .*, 0\.1 MB are free"):
        build_cache(tmp_path, photos, color_teacher(), _key(photos, color_teacher()))
    Usage.free += 1
    build_cache(tmp_path, photos, color_teacher(), _key(photos, color_teacher()))
