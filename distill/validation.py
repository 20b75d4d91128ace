"""Micro-AP of a student in training, on images that it is not trained on.

This is the one place where `distill` uses `bench`, and it is imported inside the function: see
docs/decisions/0007-validation-borrows-the-judge.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

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

    `dataset` is a folder as `python -m bench make-dataset` writes it, or `sample`.

    Raises:
        InputError: no such dataset, or one that is broken.
    """
    from bench.accuracy import judge, readable_images
    from bench.datasets import pixels_of, read_dataset
    from bench.sample import build_sample

    data = read_dataset(build_sample(DATASETS_DIR) if dataset == SAMPLE else Path(dataset))
    pixel_file = pixels_of(data, size_px, DATASETS_DIR / "pixels")
    readable_images(data, pixel_file.unreadable)
    pixels: NDArray[np.uint8] = np.load(pixel_file.path, mmap_mode="r")

    def validate(student: Student, device: torch.device) -> Validation:
        found = judge(describe_pixels(student, pixels, device), data, pixel_file.unreadable, None)
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
        batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _BATCH_SIZE])).to(device)
        images = batch.permute(0, 3, 1, 2).float() / 255.0
        rows.append(student((images - mean) / std).cpu().numpy())
    return np.concatenate(rows)
