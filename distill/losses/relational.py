"""Relational knowledge distillation (RKD): the student keeps the teacher's distances and angles between images.

Source: Park et al., "Relational Knowledge Distillation", 2019. Their code takes the mean over all N^2 and N^3 entries,
also those of a row with itself, which are 0; here it is over the pairs and triples of different rows.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean, own_columns
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError

# The least length of an edge: two equal descriptors then have a direction of 0 and a finite gradient instead of NaN.
# Added in squares, it changes a length of 0.1 by 5e-8.
EPSILON = 1e-4


class Relational(nn.Module):
    """w_d * mean huber(d_ij / mean d - d'_ij / mean d') + w_a * mean huber(cos jik - cos' jik), ' for the teacher.

    The Huber loss has its corner at 1. It acts on the descriptors that ship: D need not be the teacher's.
    Angles take memory of rows x (rows of all processes)^2.
    """

    needs_teacher: ClassVar[bool] = True

    def __init__(self, *, distance_weight: float = 1.0, angle_weight: float = 2.0) -> None:
        """Weights 1:2 as the paper.

        Raises:
            InputError: one is negative, or both are 0.
        """
        super().__init__()
        if min(distance_weight, angle_weight) < 0.0:
            raise InputError(f"relational: weights are 0 or more, got {distance_weight!r} and {angle_weight!r}")
        check_above("relational: distance_weight + angle_weight", distance_weight + angle_weight, 0.0)
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        student, student_lengths = _edges(batch.descriptors)
        teacher, teacher_lengths = _edges(batch.teacher_descriptors())
        columns = own_columns(batch.descriptors)
        different = torch.arange(student.shape[1], device=columns.device) != columns[:, None]
        gaps = F.smooth_l1_loss(
            student_lengths / _mean_length(student_lengths, different),
            teacher_lengths / _mean_length(teacher_lengths, different),
            reduction="none",
        )
        loss = self.distance_weight * global_mean(gaps, different)
        if self.angle_weight > 0.0:
            cosines = student @ student.transpose(1, 2)
            turns = F.smooth_l1_loss(cosines, teacher @ teacher.transpose(1, 2), reduction="none")
            other_corner = ~torch.eye(student.shape[1], dtype=torch.bool, device=columns.device)
            triples = different[:, :, None] & different[:, None, :] & other_corner
            loss = loss + self.angle_weight * global_mean(turns, triples)
        return loss


def _edges(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) -> directions (N, W * N, D) from each row of this process to each of all, and their lengths (N, W * N)."""
    differences = gather_rows(rows) - rows[:, None]
    lengths = (differences.square().sum(dim=2) + EPSILON**2).sqrt()
    return differences / lengths[:, :, None], lengths


def _mean_length(lengths: Tensor, different: Tensor) -> Tensor:
    """Mean over the pairs of all processes, with gradient to each of them."""
    sums = gather_rows(lengths.masked_fill(~different, 0.0).sum(dim=1))
    num_rows = lengths.shape[1]
    return (sums.sum() / max(num_rows * (num_rows - 1), 1)).clamp(min=EPSILON)
