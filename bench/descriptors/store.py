"""Descriptors of one artifact over one dataset on disk: filled shard by shard, and the same bytes after any interrupt.

    artifacts/descriptors/DEVICE-ARTIFACT12-DATASET12/
        store.json                            what the descriptors depend on
        00012.npy, 00012.skipped.csv          a finished shard, and the images of it that could not be read
        descriptors.npy, skipped.csv          all shards in one, once each is there

Rows are in the order of `Dataset.images`: queries, references, training images. An image that could not be read is a
row of NaN. Another runtime, Pillow or dataset is another folder, and a folder may be deleted at any time.

A file is written under a name of its own, synced and renamed, and what a shard holds follows from `store.json` alone:
several processes may fill one store, also from several machines on shared storage. The worst of it is work done twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL
import pydantic

from bench.records.record import ArtifactInfo, RuntimeInfo
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.pixel_files import PixelSource
from icd_mobile.datasets.skipped import SKIPPED_NAME, Skipped, read_skipped, write_skipped
from icd_mobile.errors import InputError
from icd_mobile.files import write_synced
from icd_mobile.strict import FileName, Sha256, Strict

STORE_SCHEMA_VERSION = 1  # 1: first
SHARD_SIZE = 128  # images; what a kill costs each worker at most
KEY_NAME, DESCRIPTORS_NAME = "store.json", "descriptors.npy"
_SHARD_FILE = re.compile(r"\d{5,}(\.npy|\.skipped\.csv)")


class StoreKey(Strict):
    """What descriptors depend on. A store is reused only where all of it is the same."""

    schema_version: int = STORE_SCHEMA_VERSION
    device: FileName
    artifact: FileName
    model_sha256: Sha256
    dataset: str
    dataset_sha256: Sha256
    input_size_px: int = pydantic.Field(gt=0)
    num_dims: int = pydantic.Field(gt=0)
    num_images: int = pydantic.Field(gt=0)
    shard_size: int = pydantic.Field(default=SHARD_SIZE, gt=0)
    pillow_version: str
    runtime: RuntimeInfo | None  # None where the device does not say

    @property
    def folder_name(self) -> str:
        """Device, hash of everything here, hash of the dataset."""
        whole = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        return f"{self.device}-{whole[:12]}-{self.dataset_sha256[:12]}"


def store_key(
    info: ArtifactInfo, source: PixelSource, device: str, runtime: RuntimeInfo | None, shard_size: int = SHARD_SIZE
) -> StoreKey:
    """The key of an artifact's descriptors of all of a source's images, preprocessed by this process's Pillow."""
    return StoreKey(
        device=device,
        artifact=info.name,
        model_sha256=info.model_sha256,
        dataset=source.name,
        dataset_sha256=source.sha256,
        input_size_px=info.input_size_px,
        num_dims=info.descriptor_dim,
        num_images=source.num_images,
        shard_size=shard_size,
        pillow_version=PIL.__version__,
        runtime=runtime,
    )


@dataclass(frozen=True)
class DescriptorStore:
    """N descriptors of D dimensions in shards, or in one file once `finish` has been called."""

    folder: Path
    key: StoreKey

    @property
    def num_shards(self) -> int:
        """How many shards there are in all."""
        return -(-self.key.num_images // self.key.shard_size)

    @property
    def is_finished(self) -> bool:
        """Whether all descriptors are in one file."""
        return _is_whole(self.folder / DESCRIPTORS_NAME, (self.key.num_images, self.key.num_dims))

    def rows(self, shard: int) -> slice:
        """The rows that a shard holds."""
        start = shard * self.key.shard_size
        return slice(start, min(start + self.key.shard_size, self.key.num_images))

    def missing(self) -> tuple[int, ...]:
        """The shards that are still to be written."""
        if self.is_finished:
            return ()
        return tuple(shard for shard in range(self.num_shards) if not _is_whole(*self._shard_file(shard)))

    def write_shard(self, shard: int, descriptors: Descriptors, skipped: Sequence[Skipped] = ()) -> None:
        """Keep the descriptors (n, D) of a shard's rows, NaN for those that were `skipped`; whole or not at all.

        Raises:
            ValueError: another shape than the shard's, or rows of NaN that are not those skipped.
            InputError: the store has been deleted meanwhile.
        """
        path, shape = self._shard_file(shard)
        is_nan = np.isnan(descriptors).any(axis=1) if descriptors.shape == shape else np.zeros(0, dtype=bool)
        named = [row.row - self.rows(shard).start for row in skipped]
        if descriptors.shape != shape or np.flatnonzero(is_nan).tolist() != named:
            raise ValueError(f"shard {shard} needs {shape} with NaN in {named}, got {descriptors.shape}")
        try:
            if skipped:  # before the shard: where that is, its reasons are too
                write_skipped(_skipped_path(path), skipped)
            else:
                _skipped_path(path).unlink(missing_ok=True)
            write_synced(path, lambda file: np.save(file, np.ascontiguousarray(descriptors, dtype="<f4")))
        except FileNotFoundError as error:
            if not self.is_finished:  # by another process, which has removed the shards
                raise InputError(f"{self.folder} was deleted meanwhile; run the same command again") from error

    def finish(self) -> None:
        """Put the shards into one file, a shard in memory at a time, and remove them.

        Raises:
            InputError: a shard is missing.
        """
        if not self.is_finished:
            try:
                self._merge()
            except FileNotFoundError as error:
                if not self.is_finished:  # by another process
                    raise InputError(f"{self.folder} lacks a shard; run the command that fills it again") from error
        leftovers = [
            path for path in self.folder.iterdir() if _SHARD_FILE.fullmatch(path.name) or path.suffix == ".tmp"
        ]
        for path in sorted(leftovers, key=lambda path: path.suffix == ".csv"):  # as `_merge` relies on
            path.unlink(missing_ok=True)

    def descriptors(self) -> Descriptors:
        """All descriptors (N, D), memory-mapped and read-only.

        Raises:
            InputError: the store is not finished.
        """
        if not self.is_finished:
            raise InputError(f"{self.folder} is not finished; run the command that fills it again")
        found: Descriptors = np.load(self.folder / DESCRIPTORS_NAME, mmap_mode="r")
        return found

    def skipped(self) -> tuple[Skipped, ...]:
        """The images that could not be read, in the order of their rows; of the shards that are there until all are.

        Raises:
            InputError: the file is damaged.
        """
        if self.is_finished:
            return read_skipped(self.folder / SKIPPED_NAME)
        done = set(range(self.num_shards)) - set(self.missing())
        return tuple(row for shard in sorted(done) for row in read_skipped(_skipped_path(self._shard_file(shard)[0])))

    def _shard_file(self, shard: int) -> tuple[Path, tuple[int, int]]:
        """Its path, and the shape it has."""
        rows = self.rows(shard)
        return self.folder / f"{shard:05d}.npy", (rows.stop - rows.start, self.key.num_dims)

    def _merge(self) -> None:
        """Reasons are read before the shards and removed after them, so that another process's `finish` cannot make
        any of them go unseen; they are written first, for the descriptors' file is the sign that all is there.
        """
        shards = [self._shard_file(shard)[0] for shard in range(self.num_shards)]
        skipped = [row for path in shards for row in read_skipped(_skipped_path(path))]

        def write(file: IO[bytes]) -> None:
            shape = (self.key.num_images, self.key.num_dims)
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for path in shards:
                file.write(np.load(path).tobytes())
            write_skipped(self.folder / SKIPPED_NAME, skipped)

        write_synced(self.folder / DESCRIPTORS_NAME, write)


def open_store(root: Path, key: StoreKey) -> DescriptorStore:
    """The store of that key below `root`, with what was finished before; begun anew where its `store.json` is damaged.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder = root / key.folder_name
    folder.mkdir(parents=True, exist_ok=True)
    content = (key.model_dump_json(indent=2) + "\n").encode()
    path = folder / KEY_NAME
    if path.is_file() and path.read_bytes() != content:
        for stale in list(folder.iterdir()):
            stale.unlink(missing_ok=True)
    if not path.is_file():
        write_synced(path, lambda file: file.write(content))
    return DescriptorStore(folder, key)


def _skipped_path(shard_path: Path) -> Path:
    return shard_path.with_suffix(".skipped.csv")


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(found.shape == shape and found.dtype == np.dtype("<f4"))
