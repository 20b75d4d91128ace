"""From a shard's image files to its place in a store, with the artifact's own runtime: what every embed engine runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.artifacts.worker import import_runtime, open_session
from bench.descriptors.store import DescriptorStore
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.skipped import Skipped
from icd_mobile.errors import GateError, OutsideError
from icd_mobile.pictures.preprocessing import Pixels, UnreadableImageError, read_rgb, to_pixels
from icd_mobile.retrieval.search import UNIT_TOLERANCE

THREADS_PER_WORKER = 1  # also what makes the bytes the same on every run


@dataclass(frozen=True)
class Embedding:
    """An artifact, the store its descriptors go to, and the dataset's folder; every path is absolute."""

    store: DescriptorStore
    model_path: Path
    runtime_path: Path
    install: str  # the command that brings the runtime where it is missing
    dataset_dir: Path


@dataclass(frozen=True)
class ShardTask:
    """A shard and the images of its rows, by their paths inside the dataset."""

    shard: int
    images: tuple[str, ...]


class ShardEmbedder:
    """An artifact that has been loaded once and embeds shard after shard."""

    def __init__(self, embedding: Embedding) -> None:
        """Load the artifact.

        Raises:
            OutsideError: its runtime is not installed.
            GateError: it does not load.
        """
        self._embedding = embedding
        request = {
            "runtime": str(embedding.runtime_path),
            "model": str(embedding.model_path),
            "num_threads": THREADS_PER_WORKER,
        }
        try:
            self._session = open_session(import_runtime(request), request)
        except ModuleNotFoundError as error:
            raise OutsideError(f"{error.name} is not installed: {embedding.install}") from error
        except Exception as error:  # each runtime has kinds of its own
            raise self._crashed(error) from error

    def embed(self, task: ShardTask, on_image: Callable[[], None] = lambda: None) -> None:
        """Decode, preprocess and run each image of a shard, and write the shard.

        Raises:
            GateError: the artifact fails on an image, or its descriptor is not (D,) of unit length.
            OSError: the shard cannot be written.
        """
        key = self._embedding.store.key
        first = self._embedding.store.rows(task.shard).start
        descriptors = np.full((len(task.images), key.num_dims), np.nan, dtype=np.float32)
        skipped = []
        for offset, name in enumerate(task.images):
            path = self._embedding.dataset_dir / name
            try:
                pixels = to_pixels(read_rgb(path), key.input_size_px)
            except UnreadableImageError as error:
                skipped.append(Skipped(first + offset, name, str(error).replace(str(path), name)))
            else:
                descriptors[offset] = self._descriptor(pixels, name)
            on_image()
        self._embedding.store.write_shard(task.shard, descriptors, skipped)

    def _descriptor(self, pixels: Pixels, name: str) -> Descriptors:
        try:
            self._session.feed(pixels)
            self._session.invoke()
            found: Descriptors = self._session.read()
        except Exception as error:
            raise self._crashed(error) from error
        key = self._embedding.store.key
        length = float(np.linalg.norm(found.astype(np.float64)))
        if found.shape != (key.num_dims,) or not abs(length - 1) <= UNIT_TOLERANCE:
            raise GateError(
                f"{key.artifact} gave a descriptor {found.shape} of length {length:.4g} for {name}, where "
                f"({key.num_dims},) of length 1 is needed; export it again"
            )
        return found

    def _crashed(self, error: Exception) -> GateError:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "without a message")
        name = self._embedding.store.key.artifact
        return GateError(f"{name} does not run ({type(error).__name__}: {reason}); export it again")
