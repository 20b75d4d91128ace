"""The pixel contract: 0..255 in, and the graph does what the app would otherwise have to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distill.students.checkpoint import Checkpoint, load_checkpoint
from export.bundle.pixels import HalfTrunk, PixelStudent, to_batch


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture
def pixels() -> torch.Tensor:
    return to_batch(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_pixels_through_the_graph_are_normalised_images_through_the_student(
    checkpoint: Checkpoint, pixels: torch.Tensor
) -> None:
    """(x / 255 - mean) / std, the usual preprocessing, written out."""
    mean = torch.tensor(checkpoint.card.mean).reshape(1, 3, 1, 1)
    std = torch.tensor(checkpoint.card.std).reshape(1, 3, 1, 1)
    expected = checkpoint.model((pixels / 255 - mean) / std)
    torch.testing.assert_close(PixelStudent(checkpoint)(pixels), expected, atol=1e-6, rtol=0)


def test_the_descriptor_has_unit_length(checkpoint: Checkpoint, pixels: torch.Tensor) -> None:
    assert PixelStudent(checkpoint)(pixels).norm().item() == pytest.approx(1.0, abs=1e-6)


def test_to_batch_is_channel_first_and_contiguous() -> None:
    image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    batch = to_batch(image)
    assert batch.is_contiguous()
    assert batch[0, 2].tolist() == [[2.0, 5.0], [8.0, 11.0]]


def test_a_half_trunk_keeps_float32_ends_and_leaves_the_student_alone(
    checkpoint: Checkpoint, pixels: torch.Tensor
) -> None:
    student = PixelStudent(checkpoint)
    half = student.with_trunk(HalfTrunk(student.trunk))
    assert half(pixels).dtype == torch.float32
    assert next(student.trunk.parameters()).dtype == torch.float32
    assert torch.cosine_similarity(half(pixels), student(pixels)).item() > 0.999
