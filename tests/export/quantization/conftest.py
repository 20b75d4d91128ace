"""A trunk small enough to be observed in a test, with every kind of op that the six students' int8 graphs have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from distill.students.checkpoint import load_checkpoint
from distill.students.pooling import GeM, L2Normalize
from export.bundle.pixels import PixelStudent
from export.quantization.graph import ObservedTrunk, observe_trunk


class TinyTrunk(nn.Module):
    """(N, 3, S, S) -> (N, 8, S / 2, S / 2): ReLU, ReLU6 and SiLU behind convolutions, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 8, 1)
        self.expand = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 8, 1)

    def forward(self, images: Tensor) -> Tensor:
        stem = torch.relu(self.norm(self.stem(images)))
        inner = nn.functional.hardtanh(self.depthwise(stem), 0.0, 6.0)  # what nn.ReLU6 is traced to
        residual = stem + self.project(inner)
        return self.last(nn.functional.silu(self.expand(residual)))


class TinyTransformer(nn.Module):
    """(N, 3, S, S) -> (N, 4, S / 8, S / 8): patches, LayerNorm -> Linear -> GELU -> Linear, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 8, stride=8)
        self.norm = nn.LayerNorm(4)
        self.inner, self.outer = nn.Linear(4, 16), nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = tokens + self.outer(nn.functional.gelu(self.inner(self.norm(tokens))))
        return tokens.transpose(1, 2).reshape(patches.shape)


def with_random_weights(trunk: nn.Module) -> nn.Module:
    """Channels of very different size, so that equalisation and bias correction have something to do."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in trunk.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            values /= parameter[0].numel() ** 0.5
        if "norm" in name:
            values = values.exp()
        parameter.data = values
    return trunk.eval()


@pytest.fixture(scope="session")
def views() -> np.ndarray:
    """(8, 32, 32, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


def _student(checkpoint: Path, trunk: nn.Module, num_channels: int) -> PixelStudent:
    student = PixelStudent(load_checkpoint(checkpoint)).with_trunk(with_random_weights(trunk))
    torch.manual_seed(0)
    student.tail = nn.Sequential(GeM(), nn.Linear(num_channels, 64), L2Normalize(64)).requires_grad_(False)
    return student


@pytest.fixture(scope="session")
def convnet(tiny_checkpoint: Path) -> PixelStudent:
    return _student(tiny_checkpoint, TinyTrunk(), 8)


@pytest.fixture(scope="session")
def transformer(tiny_checkpoint: Path) -> PixelStudent:
    return _student(tiny_checkpoint, TinyTransformer(), 4)


@pytest.fixture(scope="session")
def observed(convnet: PixelStudent, views: np.ndarray) -> ObservedTrunk:
    return observe_trunk(convnet, views, equalised=False)


@pytest.fixture(scope="session")
def equalised(convnet: PixelStudent, views: np.ndarray) -> ObservedTrunk:
    return observe_trunk(convnet, views, equalised=True)


@pytest.fixture(scope="session")
def equalised_transformer(transformer: PixelStudent, views: np.ndarray) -> ObservedTrunk:
    return observe_trunk(transformer, views, equalised=True)


@pytest.fixture(scope="session")
def benchmark_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six references, brighter copies of the first three and one other picture as queries, one for training."""
    folder = tmp_path_factory.mktemp("data") / "tiny-benchmark"
    rng = np.random.default_rng(1)
    pictures = [Image.fromarray(rng.integers(0, 200, (32, 32, 3), dtype=np.uint8)) for _ in range(8)]
    for part in ("references", "queries", "training"):
        (folder / part).mkdir(parents=True)
    for index, picture in enumerate(pictures[:6]):
        picture.save(folder / "references" / f"r{index}.png")
    for index, picture in enumerate([*pictures[:3], pictures[6]]):
        picture.point(lambda value: value + 20).save(folder / "queries" / f"q{index}.png")
    pictures[7].save(folder / "training" / "t0.png")
    rows = ["query_id,reference_id", "q0,r0", "q1,r1", "q2,r2", "q3,"]
    (folder / "ground_truth.csv").write_text("\n".join(rows) + "\n")
    return folder
