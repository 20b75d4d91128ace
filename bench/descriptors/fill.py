"""Descriptors of many images by one artifact on one device, through the store: what is there is not embedded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact
from bench.descriptors.store import DescriptorStore, open_store, store_key
from bench.records.record import ArtifactInfo, RuntimeInfo
from devices.base import Device
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.pixel_files import CHUNK_SIZE, OnImage, PixelFile, PixelSource, pixel_chunk
from icd_mobile.datasets.skipped import Skipped
from icd_mobile.errors import GateError
from icd_mobile.retrieval.search import UNIT_TOLERANCE


@dataclass(frozen=True)
class EmbedPlan:
    """Where descriptors and pixels are kept, and the runtime's threads."""

    stores_dir: Path
    pixels_dir: Path
    num_threads: int


def store_of(
    stores_dir: Path, device_name: str, info: ArtifactInfo, runtime: RuntimeInfo, source: PixelSource
) -> DescriptorStore:
    """The store for one artifact's descriptors of these images."""
    return open_store(stores_dir, store_key(info, source, device_name, runtime))


def fill(
    store: DescriptorStore,
    device: Device,
    artifact: Artifact,
    source: PixelSource,
    plan: EmbedPlan,
    on_pixels: OnImage,
    on_image: OnImage,
) -> None:
    """Embed what the store lacks, a chunk of pixels in one process at a time, and finish it.

    `on_pixels` and `on_image` hear of the images preprocessed and embedded, each with the number of all.

    Raises:
        GateError: a descriptor has another shape than the manifest says, or is not of unit length.
        OutsideError, DeviceError: as `remote.embed`.
    """
    missing = store.missing()
    shards_in_chunk = CHUNK_SIZE // store.key.shard_size
    for first in range(0, store.num_shards, shards_in_chunk):
        shards = range(first, min(first + shards_in_chunk, store.num_shards))
        wanted = [shard for shard in shards if shard in missing]
        if not wanted:
            continue
        rows = range(store.rows(shards[0]).start, store.rows(shards[-1]).stop)

        def on_row(done: int, _chunk: int, start: int = rows.start) -> None:
            on_image(start + done, source.num_images)

        def on_pixel(done: int, _chunk: int, start: int = rows.start) -> None:
            on_pixels(start + done, source.num_images)

        with pixel_chunk(source, rows, artifact.info.input_size_px, plan.pixels_dir, on_pixel) as pixels:
            descriptors = remote.embed(device, artifact, plan.num_threads, pixels.path, on_row)
            _write_shards(store, wanted, rows, descriptors, pixels, source)
    store.finish()


def _write_shards(
    store: DescriptorStore,
    shards: list[int],
    rows: range,
    descriptors: Descriptors,
    pixels: PixelFile,
    source: PixelSource,
) -> None:
    lengths = np.linalg.norm(descriptors.astype(np.float64), axis=1)
    bad = [
        index for index in np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE)) if index not in pixels.unreadable
    ]
    if bad:
        raise GateError(
            f"the descriptor of {source.image_name(rows[bad[0]])} has length {lengths[bad[0]]:.4g} where 1 is needed "
            f"({len(bad)} such of {len(rows)}); the artifact's output is broken"
        )
    skipped = [
        Skipped(rows[index], source.image_name(rows[index]), reason) for index, reason in pixels.unreadable.items()
    ]
    descriptors[list(pixels.unreadable)] = np.nan
    for shard in shards:
        its = store.rows(shard)
        inside = [row for row in skipped if its.start <= row.row < its.stop]
        store.write_shard(shard, descriptors[its.start - rows.start : its.stop - rows.start], inside)
