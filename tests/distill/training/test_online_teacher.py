"""A teacher in the loop is given what a teacher cache would give it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.teachers.teacher import Network, Teacher
from distill.training.online_teacher import OnlineTeacher, resized


class _Seen(nn.Module):
    """Remembers its input, and describes by the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return images.mean(dim=(2, 3))


def test_views_are_resized_and_normalised_as_the_teacher_was_trained() -> None:
    """Grey 51 is 0.2 of 255; (0.2 - 0.1) / 0.5 = 0.2."""
    network = _Seen()
    teacher = OnlineTeacher(
        Teacher("t", Network(network, 3, 8, (0.1, 0.1, 0.1), (0.5, 0.5, 0.5)), "0" * 64, "MIT", "a test")
    )
    described = teacher.describe(torch.full((2, 3, 16, 16), 51, dtype=torch.uint8))
    torch.testing.assert_close(network.seen, torch.full((2, 3, 8, 8), 0.2))
    torch.testing.assert_close(described, torch.full((2, 3), 3**-0.5))
    assert not described.requires_grad


def test_a_reduction_by_two_is_the_mean_of_its_neighbourhood() -> None:
    """Antialiased bilinear: a checkerboard of single pixels becomes grey, where plain sampling would keep a pattern."""
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).mul(255.0).expand(1, 3, 16, 16)
    reduced = resized(board, 4)
    torch.testing.assert_close(reduced, torch.full((1, 3, 4, 4), 127.5), rtol=0.0, atol=2.0)
    assert resized(board, 16) is board
