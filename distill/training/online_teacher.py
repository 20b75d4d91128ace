"""A teacher in the loop: it describes the views that the student is given, at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor

from distill.configs.config import TeacherConfig

if TYPE_CHECKING:
    from distill.teachers.teacher import Teacher


class OnlineTeacher:
    """Views (N, 3, S, S) uint8 -> descriptors (N, T), without gradient, in the run's autocast."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.name, self.descriptor_dim, self.input_size_px = teacher.name, teacher.descriptor_dim, teacher.input_size_px

    def to(self, device: torch.device) -> None:
        """Move it there."""
        self._teacher = self._teacher.to(device)

    def num_bytes(self) -> int:
        """Of its weights."""
        return self._teacher.num_bytes

    @torch.no_grad()
    def describe(self, pixels: Tensor) -> Tensor:
        """Resized to the teacher's side, normalised as it was trained."""
        images = resized(pixels.float(), self.input_size_px)
        mean, std = (
            torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) * 255.0
            for values in (self._teacher.mean, self._teacher.std)
        )
        return self._teacher.describe((images - mean) / std)


def resized(images: Tensor, size_px: int) -> Tensor:
    """(N, 3, S, S) float -> (N, 3, `size_px`, `size_px`), bilinear with antialiasing, as a phone does it."""
    if images.shape[-1] == size_px:
        return images
    return F.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)


def open_online_teacher(config: TeacherConfig) -> OnlineTeacher:
    """The teacher of a recipe.

    Raises:
        InputError: no such teacher, or a file that is none.
        OutsideError: its weights cannot be reached.
    """
    from distill.teachers import open_teacher

    return OnlineTeacher(open_teacher(config.name, input_size_px=config.input_size_px))
