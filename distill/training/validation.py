"""Micro-AP of a student in training, on images that it is not trained on: the same figure as a report gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distill.students.describe import describe_pixels
from distill.students.student import Student
from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import CHUNK_SIZE, PixelSource, dataset_source, pixel_chunk
from icd_mobile.datasets.prepared import DATASETS_DIR, dataset_place
from icd_mobile.datasets.read import read_dataset
from icd_mobile.progress import image_steps
from icd_mobile.retrieval.accuracy import Compared, judge, search, split
from icd_mobile.retrieval.micro_ap import resampled_micro_ap


@dataclass(frozen=True)
class Validation:
    """What a judgement gave; codec Flat, no score normalisation, k = 10."""

    micro_ap: float
    recall_at_p90: float


@dataclass(frozen=True)
class Benchmark:
    """A dataset whose images are preprocessed once, to judge any number of students on."""

    data: Dataset
    source: PixelSource
    size_px: int
    unreadable: tuple[int, ...]

    def describe(self, student: Student, device: torch.device) -> Descriptors:
        """(Q + R + T, D) of the dataset's images; the student is put in eval mode."""
        chunks = _chunks(self.source, self.size_px, lambda _done, _total: None)
        return np.concatenate([describe_pixels(student, pixels, device) for pixels, _ in chunks])

    def judge(self, descriptors: Descriptors) -> Validation:
        """Micro-AP and recall at precision 0.9."""
        found = judge(descriptors, self.data, self.unreadable, Compared(None, None, "a validation during training"))
        return Validation(found.micro_ap, found.recall_at_p90)

    def resampled(self, descriptors: Descriptors) -> NDArray[np.float64]:
        """(B,) micro-AP over queries drawn with replacement, the same draws for every student."""
        rows = split(self.data, self.unreadable)
        candidates, is_match = search(descriptors[rows.queries], descriptors, rows, self.data)
        return resampled_micro_ap(candidates, is_match, self.data.pairs, len(self.data.queries))


def open_benchmark(dataset: str, size_px: int) -> Benchmark:
    """Read the dataset and preprocess its images.

    `dataset` is a folder as `python -m bench make-dataset` writes it, a prepared `copydays` or `disc`, or `sample`.

    Raises:
        InputError: no such dataset, or one that is broken.
        OutsideError: one that is not prepared yet.
    """
    data = read_dataset(dataset_place(dataset, DATASETS_DIR))
    source = dataset_source(data)
    unreadable: list[int] = []
    with image_steps() as show:
        for _, missing in _chunks(source, size_px, lambda done, total: show("validation images", done, total)):
            unreadable += missing
    split(data, tuple(unreadable))
    return Benchmark(data, source, size_px, tuple(unreadable))


def open_validation(dataset: str, size_px: int) -> Callable[[Student, torch.device], Validation]:
    """The judge of a training run; raises as `open_benchmark`."""
    benchmark = open_benchmark(dataset, size_px)
    return lambda student, device: benchmark.judge(benchmark.describe(student, device))


def _chunks(
    source: PixelSource, size_px: int, on_image: Callable[[int, int], None]
) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
    """Pixels (n, S, S, 3), and which rows of the dataset could not be read."""
    for start in range(0, source.num_images, CHUNK_SIZE):
        rows = range(start, min(source.num_images, start + CHUNK_SIZE))
        with pixel_chunk(source, rows, size_px, DATASETS_DIR / "pixels", on_image) as file:
            yield np.load(file.path, mmap_mode="r"), [start + index for index in file.unreadable]
