"""A teacher's descriptor of the unedited photograph as the target of all its views, and the head that begins there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.augmentations.views import ViewKey
from distill.configs.config import RunConfig
from distill.configs.config_files import validated, with_overrides
from distill.students.checkpoint import make_card, save_checkpoint
from distill.students.depthwise import keep_slow_depthwise_in_float32
from distill.students.student import Student
from distill.teacher_cache.make import build_cache, cache_key
from distill.teachers.teacher import Network, Teacher
from distill.training.run_parts import build_parts
from distill.training.start_run import begin
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.collection import Photos, open_photos
from icd_mobile.pictures.preprocessing import to_pixels

NUM_PHOTOS, TEACHER_DIM, SIZE_PX = 12, 64, 64


class Blocks(nn.Module):
    """64 means of 8 x 8 px blocks of the red channel: each picture's own."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images[:, :1], 8).flatten(1) - 0.5


TEACHER = Teacher("blocks", Network(Blocks(), TEACHER_DIM, SIZE_PX, (0.0,) * 3, (1.0,) * 3), "0" * 64, "MIT", "a test")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(NUM_PHOTOS):
        procedural_picture(seed, (90, 70)).save(folder / f"{seed:02d}.png")
    return open_photos(folder).photos


def make_cache(photos: Photos, folder: Path, augmentation: str = "none", views: int = 1) -> Path:
    build_cache(folder, photos, TEACHER, cache_key(photos, augmentation, 0, views, SIZE_PX, TEACHER))
    return folder


@pytest.fixture(scope="module")
def config(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    student = Student("resnet18", 128, SIZE_PX).eval()
    start = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_checkpoint(start, student, make_card(student, trunk="random", recipe="none", data="none", licence="MIT"))
    values: dict[str, object] = {
        "name": "tiny",
        "student": {
            "name": "resnet18", "descriptor_dim": TEACHER_DIM, "input_size_px": SIZE_PX, "start_from": str(start),
        },
        "teacher": {
            "name": "blocks", "target": "photograph",
            "cache": str(make_cache(photos, tmp_path_factory.mktemp("cache") / "cache")),
        },
        "data": {"images": str(photos.source), "augmentation": "strong_blur", "original_view": True},
        "losses": [{"name": "regression"}],
        "epochs": 1,
        "warmup_epochs": 0.0,
        "batch_size": 4,
    }  # fmt: skip
    return validated(values, "test")


def test_every_view_has_its_photograph_s_descriptor(config: RunConfig, photos: Photos) -> None:
    dataset = build_parts(config, is_new=False).images.dataset
    item = dataset[ViewKey(3, 5)]
    pixels = to_pixels(photos[5], SIZE_PX).astype(np.float32)[:, :, 0] / 255
    expected = pixels.reshape(8, 8, 8, 8).mean(axis=(1, 3)).ravel() - 0.5
    expected /= np.linalg.norm(expected)
    assert item.views.shape == (2, SIZE_PX, SIZE_PX, 3)
    assert not np.array_equal(item.views[1], dataset[ViewKey(4, 5)].views[1]), "views are drawn anew in each epoch"
    np.testing.assert_allclose(item.teacher_descriptors, np.stack([expected] * 2), atol=1e-5)


def test_a_head_of_another_size_begins_as_the_regression_on_the_teacher(config: RunConfig) -> None:
    def error(model: nn.Module, dataset: object) -> float:
        model.eval()
        with torch.no_grad():
            losses = []
            for index in range(NUM_PHOTOS):
                item = dataset[ViewKey(0, index)]  # type: ignore[index]
                images = torch.from_numpy(item.views).permute(0, 3, 1, 2).float() / 255
                mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
                described = model((images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)).descriptors
                losses.append(1 - (described * torch.from_numpy(item.teacher_descriptors)).sum(dim=1))
        return float(torch.cat(losses).mean())

    fitted, random = build_parts(config), build_parts(config, is_new=False)
    # 24 views, 512 features: nearly all of them can be met.
    assert error(fitted.model, fitted.images.dataset) < 0.15
    assert error(random.model, random.images.dataset) > 0.6
    # Of the size of a Linear as PyTorch makes it, uniform between +-1 / sqrt(F).
    assert float(fitted.model.student.head.weight.square().mean().sqrt()) == pytest.approx((3 * 512) ** -0.5, rel=1e-4)
    trunks = [parts.model.student.trunk.state_dict() for parts in (fitted, random)]
    assert all(torch.equal(value, trunks[1][name]) for name, value in trunks[0].items()), "the trunk is the start's"


def test_a_run_makes_the_cache_that_is_not_there_and_finds_it_again(
    config: RunConfig, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("distill.teachers.open_teacher", lambda *_, **__: opened.append(1) or TEACHER)
    finished = begin(with_overrides(config, ["teacher.cache=null", "student.start_from=default",
                                             "student.name=efficientnet_lite0"]), tmp_path / "run")  # fmt: skip
    assert finished.config.teacher is not None
    assert finished.config.teacher.cache == f"artifacts/teacher-caches/blocks-{SIZE_PX}-{photos.sha256[:12]}"
    again = begin(with_overrides(finished.config, []), tmp_path / "again")
    assert again.config.teacher == finished.config.teacher
    assert opened == [1], "the second run needs no teacher"


def test_a_run_in_the_teacher_s_space_goes_to_its_end(config: RunConfig, tmp_path: Path) -> None:
    finished = begin(config, tmp_path / "run")
    assert finished.trained.num_steps == NUM_PHOTOS // 4
    assert finished.folder.student_path.is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["teacher.cache=null"], "teacher.target=photograph needs a cache of the photographs, .*--views 1"),
        (["data.mixing={}"], "a mixed view is of two photographs"),
        (["data.images=null"], "a run needs images"),
        (["teacher.name=other"], "made with teacher blocks, this run has other"),
        (["student.name=mobilenetv3_large"], "student.start_from is a resnet18 of 128"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(config: RunConfig, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_parts(with_overrides(config, words))


def test_a_cache_of_edited_views_is_no_target_of_photographs(config: RunConfig, photos: Photos, tmp_path: Path) -> None:
    cache = make_cache(photos, tmp_path / "views", "strong_blur", views=2)
    with pytest.raises(InputError, match="made with augmentation strong_blur, this run has none"):
        build_parts(with_overrides(config, [f"teacher.cache={cache}"]))


def test_depthwise_layers_that_bfloat16_slows_compute_in_float32_on_a_cpu() -> None:
    slow = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False)
    fast = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    maps = torch.randn(1, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    exact = slow(maps)
    assert keep_slow_depthwise_in_float32(nn.Sequential(slow, fast)) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(slow(maps), exact)
        assert fast(maps).dtype == torch.bfloat16
    assert torch.equal(slow(maps), exact)
