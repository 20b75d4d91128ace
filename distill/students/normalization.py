"""Pixels as a student was trained to see them."""

from __future__ import annotations

import torch
from torch import Tensor

from distill.students.student import student_spec


def normalized(pixels: Tensor, student: str) -> Tensor:
    """(N, 3, S, S), 0..255 -> float32 by the student's mean and std, channels last."""
    spec = student_spec(student)
    mean, std = (
        255.0 * torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (spec.mean, spec.std)
    )
    return ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)
