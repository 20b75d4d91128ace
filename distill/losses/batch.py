"""What a training step hands to every loss, and what every loss offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from icd_mobile.errors import InputError


@dataclass(frozen=True)
class Batch:
    """The N = images x views rows of this process; N must be the same on every process (`drop_last`)."""

    descriptors: Tensor  # (N, D) student, L2-normalised, with gradient
    features: Tensor  # (N, F) pooled trunk feature, with gradient
    wide: Tensor | None  # (N, W) L2-normalised wide feature of a student with a compact projection
    teacher: Tensor | None  # (N, T) L2-normalised teacher descriptors of the same views, without gradient
    image_ids: Tensor  # (N,) int64, shared by the views of one photograph and equal across processes
    mixed_ids: Tensor | None = None  # (N,) the photograph mixed into each view, its own id where none is
    keys: Tensor | None = None  # (K, D) of each photograph's first view by the mean of the weights, without gradient
    key_ids: Tensor | None = None  # (K,) int64, whose keys they are

    def sources(self) -> Tensor:
        """(N, 1 or 2) the ids of the photographs that each view shows something of."""
        return torch.stack([self.image_ids] if self.mixed_ids is None else [self.image_ids, self.mixed_ids], dim=1)

    def kd_feature(self) -> Tensor:
        """(N, W or D): the wide feature where the student has one, else its descriptors.

        RDCD distils a wide feature and makes the small descriptor after it.
        """
        return self.descriptors if self.wide is None else self.wide

    def teacher_descriptors(self) -> Tensor:
        """(N, T) teacher descriptors.

        Raises:
            InputError: the batch has none.
        """
        if self.teacher is None:
            raise InputError("a loss of this recipe needs a teacher, got none; name one, or take out that loss")
        return self.teacher


@dataclass(frozen=True)
class Dims:
    """The dimensions of a student and its teacher, for `Loss.check` before anything is trained."""

    descriptor: int
    feature: int
    wide: int | None
    teacher: int | None

    def kd(self) -> int:
        """Dimensions of `Batch.kd_feature`."""
        return self.descriptor if self.wide is None else self.wide


class Loss(Protocol):
    """What each loss of `distill.losses.LOSSES` is besides an `nn.Module` with keyword-only settings."""

    needs_teacher: ClassVar[bool]

    def check(self, dims: Dims) -> None:
        """Refuse dimensions it cannot work with.

        Raises:
            InputError: those it needs and those it got.
        """

    def __call__(self, batch: Batch) -> Tensor:
        """Scalar float32: the mean over the rows of all processes, the same on each.

        Its gradient is scaled so that the average over processes, which DistributedDataParallel takes, is the gradient
        of one process that holds the rows of all.
        """


def check_above(what: str, value: float, bound: float) -> None:
    """Refuse a setting that is not a finite number above `bound`.

    Raises:
        InputError: it is not.
    """
    if not bound < value < float("inf"):
        raise InputError(f"{what} must be a finite number above {bound:g}, got {value!r}")
