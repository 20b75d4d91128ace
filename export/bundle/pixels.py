"""The pixel contract: RGB 0..255 in, one L2-normalised float32 descriptor out, everything between inside the graph."""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from distill.students.checkpoint import Checkpoint
from icd_mobile.pictures.preprocessing import Pixels


def to_batch(pixels: Pixels) -> Tensor:
    """(S, S, 3) uint8 -> (1, 3, S, S) float32 0..255, contiguous: exporters read the memory layout too."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32))


class PixelStudent(nn.Module):
    """Pixels (1, 3, S, S), float32 0..255 -> descriptor (1, D), float32.

    Mean, std and the division by 255 are one multiply and one add. `trunk` may be a half-precision or a quantised form
    of the student's; what surrounds it stays in float32, because GeM's cube leaves float16's range at 40 and ruins an
    8-bit one.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        student = checkpoint.model
        std = torch.tensor(checkpoint.card.std).reshape(1, 3, 1, 1)
        mean = torch.tensor(checkpoint.card.mean).reshape(1, 3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std))
        self.register_buffer("shift", -mean / std)
        self.trunk: nn.Module = student.trunk
        self.tail = nn.Sequential(student.pool, student.head, student.l2)
        self.eval()

    def with_trunk(self, trunk: nn.Module) -> PixelStudent:
        """The same student around another form of its trunk; everything else is shared."""
        other = copy.copy(self)
        other._modules = {**self._modules, "trunk": trunk}
        return other

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels 0..255 -> what the trunk was trained on."""
        return pixels * self.scale + self.shift

    def forward(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.tail(self.trunk(self.normalize(pixels))))


class HalfTrunk(nn.Module):
    """A copy of a trunk that computes in float16 between float32 ends, layer norms apart."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.half_trunk = copy.deepcopy(trunk).half()
        for module in list(self.half_trunk.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.LayerNorm):
                    module.add_module(name, _InFloat32(child.float()))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.half_trunk(images.half())).float()


class _InFloat32(nn.Module):
    """A LayerNorm in float32 between float16 ends: ExecuTorch's float16 kernel takes ViT-S to a cosine of 0.14."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.op(features.float())).to(features.dtype)
