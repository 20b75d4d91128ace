"""Pixels to descriptors by a student in PyTorch."""

from __future__ import annotations

import numpy as np
import torch

from distill.students.student import Student, student_spec
from icd_mobile.arrays import Descriptors
from icd_mobile.pictures.preprocessing import Pixels

_BATCH_SIZE = 32


@torch.inference_mode()
def describe_pixels(student: Student, pixels: Pixels, device: torch.device) -> Descriptors:
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
