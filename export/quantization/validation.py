"""The benchmark that an int8 search is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from export.quantization.made_pictures import build_made_pictures
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import CHUNK_SIZE, dataset_source, pixel_chunk
from icd_mobile.datasets.prepared import DATASETS_DIR, SAMPLE, dataset_place
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.sample import SAMPLE_NAME
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import Pixels
from icd_mobile.retrieval.accuracy import Compared, judge, split

OnImage = Callable[[int, int], None]  # images done, number of all


@dataclass(frozen=True)
class Benchmark:
    """A dataset with its pixels (Q + R, S, S, 3); training images are left out."""

    dataset: Dataset
    pixels: Pixels
    unreadable: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def sha256(self) -> str:
        return self.dataset.sha256

    @property
    def num_queries(self) -> int:
        return len(self.dataset.queries)

    @property
    def num_references(self) -> int:
        return len(self.dataset.references)

    @property
    def num_pairs(self) -> int:
        return len(self.dataset.pairs)

    def micro_ap(self, queries: Descriptors, references: Descriptors) -> float:
        """(Q, D) searched among (R, D): exact, k = 10, without score normalisation.

        Raises:
            InputError: descriptors that are not finite or not of unit length.
        """
        compared = Compared(None, None, "a search for an int8 plan")
        found = judge(np.concatenate([queries, references]), self.dataset, self.unreadable, compared)
        return found.micro_ap


def read_dataset_of(validation: str | None, on_image: OnImage) -> Dataset:
    """What `--validation` names: a folder as `python -m bench make-dataset` writes it, or a prepared `copydays` or
    `disc`; where it is None, pictures made by code, drawn on the first call, one `on_image` after the other.

    Raises:
        InputError: no such dataset, one that is broken, or the sample, which is for testing.
        OutsideError: one that is not prepared yet.
    """
    if validation is None:
        return read_dataset(build_made_pictures(DATASETS_DIR, on_image))
    if validation != SAMPLE:
        place = dataset_place(validation, DATASETS_DIR)
        if not place.exists():
            raise InputError(
                f"--validation needs a benchmark's folder, and there is no {validation}; make one: "
                "python -m bench make-dataset --help"
            )
        dataset = read_dataset(place)
        if dataset.name != SAMPLE_NAME:
            return dataset
    raise InputError("--validation cannot be the sample: bench run tests the artifacts on it; give other pictures")


def read_benchmark(dataset: Dataset, size_px: int, on_image: OnImage) -> Benchmark:
    """Decode and resize every query and reference once.

    Raises:
        InputError: no query, or no reference, can be read.
    """
    dataset = replace(dataset, training=())
    source = dataset_source(dataset)
    num_images = source.num_images
    chunks: list[Pixels] = []
    unreadable: list[int] = []
    for start in range(0, num_images, CHUNK_SIZE):
        rows = range(start, min(num_images, start + CHUNK_SIZE))
        with pixel_chunk(source, rows, size_px, DATASETS_DIR / "pixels", on_image) as file:
            chunks.append(np.load(file.path))
            unreadable += [start + index for index in file.unreadable]
    split(dataset, tuple(unreadable))
    return Benchmark(dataset, np.concatenate(chunks), tuple(unreadable))


def spread(num_images: int, num_wanted: int) -> range:
    """Rows spread evenly over all."""
    return range(0, num_images, max(1, -(-num_images // num_wanted)))
