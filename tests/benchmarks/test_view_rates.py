"""How fast views are drawn, and read from a teacher cache, on one core: `make bench`. Rates stand in `extra_info`.

On a machine that does other work, add `--benchmark-timer=time.process_time`: seconds of this process alone.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from distill.augmentations import AUGMENTATIONS, open_augmentation
from distill.augmentations.pipeline import Context, draw_view
from distill.augmentations.views import ViewKey, collate_views
from distill.teacher_cache.key import CacheKey, write_key
from distill.teacher_cache.shards import record_dtype, write_shard
from distill.teacher_cache.views import CachedViews
from icd_mobile.datasets.sample_pictures import calibration_photos
from icd_mobile.generators import generator

NUM_PHOTOS, NUM_VIEWS, BATCH_SIZE = 256, 8, 64


def per_second(benchmark: BenchmarkFixture, num_views: int) -> None:
    """Note the rate at the median, where pytest-benchmark measured one."""
    if benchmark.stats is not None:
        benchmark.extra_info["views_per_s"] = round(num_views / benchmark.stats.stats.median)


def small_photos() -> list[Image.Image]:
    """Six, 300 px on the longer side."""
    photos = [photo.image.copy() for photo in calibration_photos()]
    for photo in photos:
        photo.thumbnail((300, 300))
    return photos


@pytest.mark.parametrize("size_px", [128, 224])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_drawing_views(benchmark: BenchmarkFixture, name: str, size_px: int) -> None:
    """From photographs in memory: decoding is timed with the other hot paths."""
    photos = small_photos()
    pipeline = open_augmentation(name)
    context = Context(size_px, lambda rng: photos[int(rng.integers(len(photos)))])

    def draw() -> None:
        for image_id, photo in enumerate(photos):
            for view in range(NUM_VIEWS):
                draw_view(pipeline, photo, generator("view", 0, 0, image_id, view), context)

    benchmark(draw)
    per_second(benchmark, len(photos) * NUM_VIEWS)


@pytest.mark.parametrize("size_px", [128, 224])
def test_reading_cached_views(benchmark: BenchmarkFixture, size_px: int, tmp_path: Path) -> None:
    """A batch of 64 photographs in random order, two views of each with their 512-d descriptors, collated."""
    key = CacheKey(
        photos_sha256="0" * 64,
        num_photos=NUM_PHOTOS,
        augmentation="none",
        pipeline="()",
        seed=0,
        num_views=NUM_VIEWS,
        size_px=size_px,
        render_size_px=size_px,
        teacher="none",
        teacher_weights_sha256="0" * 64,
        descriptor_dim=512,
        photos_per_shard=NUM_PHOTOS,
    )
    write_key(tmp_path, key)
    write_shard(tmp_path, 0, np.zeros((NUM_PHOTOS, NUM_VIEWS), record_dtype(key)))
    cached = CachedViews(tmp_path, 2, seed=0)
    order = np.random.default_rng(0).permutation(NUM_PHOTOS)[:BATCH_SIZE].tolist()

    def read() -> None:
        collate_views([cached[ViewKey(0, image_id)] for image_id in order])

    benchmark(read)
    per_second(benchmark, 2 * BATCH_SIZE)


@pytest.mark.parametrize("size_px", [128, 224])
def test_decoding_views_as_if_they_were_cached_as_jpeg(benchmark: BenchmarkFixture, size_px: int) -> None:
    """Quality 95, views of `advanced`: what raw pixels save in time, and cost on the disk."""
    pipeline = open_augmentation("advanced")
    contents = []
    for image_id, photo in enumerate(small_photos()):
        context = Context(size_px, lambda _rng, photo=photo: photo)
        for view in range(NUM_VIEWS):
            buffer = BytesIO()
            pixels = draw_view(pipeline, photo, generator("view", 0, 0, image_id, view), context)
            Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
            contents.append(buffer.getvalue())

    def decode() -> None:
        for content in contents:
            np.asarray(Image.open(BytesIO(content)))

    benchmark(decode)
    per_second(benchmark, len(contents))
    benchmark.extra_info["bytes_a_view"] = round(sum(map(len, contents)) / len(contents))
