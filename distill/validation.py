"""Micro-AP of a student in training, on images that it is not trained on.

This is the one place where `distill` uses `bench`, and it is imported inside the function: see
docs/decisions/0007-validation-borrows-the-judge.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from distill.progress import image_steps
from distill.students import Student, student_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = "sample"
DATASETS_DIR = Path("artifacts/datasets")
_BATCH_SIZE = 32


@dataclass(frozen=True)
class Validation:
    """What a judgement gave; codec Flat, no score normalisation, k = 10."""

    micro_ap: float
    recall_at_p90: float


def open_validation(dataset: str, size_px: int) -> Callable[[Student, torch.device], Validation]:
    """Read the dataset and preprocess its images once; returns the judge.

    `dataset` is a folder as `python -m bench make-dataset` writes it, a prepared `copydays` or `disc`, or `sample`.

    Raises:
        InputError: no such dataset, or one that is broken.
        OutsideError: one that is not prepared yet.
    """
    from bench.accuracy import Compared, judge, split
    from bench.datasets import read_dataset
    from bench.pixel_files import CHUNK_SIZE, dataset_source, pixel_chunk
    from bench.prepared import dataset_place
    from bench.sample import build_sample

    data = read_dataset(build_sample(DATASETS_DIR) if dataset == SAMPLE else dataset_place(dataset, DATASETS_DIR))
    source = dataset_source(data)

    def chunks(on_image: Callable[[int, int], None]) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
        """Pixels (n, S, S, 3), and which rows of the dataset could not be read."""
        for start in range(0, source.num_images, CHUNK_SIZE):
            rows = range(start, min(source.num_images, start + CHUNK_SIZE))
            with pixel_chunk(source, rows, size_px, DATASETS_DIR / "pixels", on_image) as file:
                yield np.load(file.path, mmap_mode="r"), [start + index for index in file.unreadable]

    unreadable: list[int] = []
    with image_steps() as show:
        for _, missing in chunks(lambda done, total: show("validation images", done, total)):
            unreadable += missing
    split(data, tuple(unreadable))

    def validate(student: Student, device: torch.device) -> Validation:
        rows = [describe_pixels(student, pixels, device) for pixels, _ in chunks(lambda _done, _total: None)]
        compared = Compared(None, None, "a validation during training")
        found = judge(np.concatenate(rows), data, tuple(unreadable), compared)
        return Validation(found.micro_ap, found.recall_at_p90)

    return validate


@torch.inference_mode()
def describe_pixels(student: Student, pixels: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """(N, S, S, 3) uint8 -> (N, D), L2-normalised, in float32 on `device`; the student is put in eval mode."""
    spec = student_spec(student.name)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    student = student.to(device).to(memory_format=torch.channels_last).eval()
    rows = []
    for start in range(0, len(pixels), _BATCH_SIZE):
        batch = torch.from_numpy(np.array(pixels[start : start + _BATCH_SIZE])).to(device)
        images = batch.permute(0, 3, 1, 2).float() / 255.0
        rows.append(student((images - mean) / std).cpu().numpy())
    return np.concatenate(rows)
