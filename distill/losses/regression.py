"""Direct regression to the teacher's descriptor: the student lands in the teacher's space.

A phone can then query an index that the teacher built, without describing its images again. Source: the regression
baseline of Budnik and Avrithis, "Asymmetric metric learning for knowledge transfer", 2021.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from distill.losses.batch import Batch, Dims
from distill.losses.gather import global_mean
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError, unknown_name

# Below it student and teacher agree: the distance has no direction, and the square root at 0 would give NaN.
SAME_SQUARED_DISTANCE = 1e-24


def _cosine(student: Tensor, teacher: Tensor) -> Tensor:
    return 1.0 - (student * teacher).sum(dim=1)


def _l2(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).square().sum(dim=1).clamp(min=SAME_SQUARED_DISTANCE).sqrt()


DISTANCES = {"cosine": _cosine, "l2": _l2}


class Regression(nn.Module):
    """mean_i (1 - s_i . t_i), or mean_i |s_i - t_i|. The squared distance would be the first twice over."""

    needs_teacher: ClassVar[bool] = True

    def __init__(self, *, distance: str = "cosine") -> None:
        """Which of the two.

        Raises:
            InputError: neither.
        """
        super().__init__()
        if distance not in DISTANCES:
            raise unknown_name("distance of regression", distance, DISTANCES)
        self.distance = distance

    def check(self, dims: Dims) -> None:
        """The descriptor that ships, also after a compact projection, is the teacher's.

        Raises:
            InputError: they differ in dimensions.
        """
        if dims.descriptor != dims.teacher:
            raise InputError(
                f"regression needs a student with the teacher's dimensions, got {dims.descriptor} and {dims.teacher}; "
                f"give the student D = {dims.teacher}, or use similarity_distillation with a wide feature"
            )

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        return global_mean(DISTANCES[self.distance](batch.descriptors, batch.teacher_descriptors()))
