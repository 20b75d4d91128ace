"""A student in training: what the losses look at, the compact projection, and how batch norm behaves.

The compact projection is RDCD's (Kim, Woo and Nang, WACV 2025): the pooled feature goes through one Linear to a wide
feature, on which knowledge is distilled, and through a second to the small descriptor. Nothing stands between the two,
so the student that is saved has their product as its one head, and every export stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from distill.students.depthwise import keep_slow_depthwise_in_float32
from distill.students.student import Student
from distill.training.quantization_aware import QuantizationAware
from icd_mobile.errors import unknown_name

BatchNormMode = Literal["batch", "sync", "frozen"]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Described:
    """What a student says of N images."""

    descriptors: Tensor  # (N, D), L2-normalised
    features: Tensor  # (N, F), pooled, before any head
    wide: Tensor | None  # (N, W), L2-normalised, with the compact projection


class CompactHead(nn.Module):
    """Two Linear layers with nothing between: F -> W -> D."""

    def __init__(self, in_features: int, wide_dim: int, descriptor_dim: int) -> None:
        super().__init__()
        self.wide = nn.Linear(in_features, wide_dim)
        self.compact = nn.Linear(wide_dim, descriptor_dim)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (D, F) and bias (D,) of the one Linear that does the same; multiplied in float64."""
        outer, inner = self.compact.weight.double(), self.wide.weight.double()
        bias = outer @ self.wide.bias.double() + self.compact.bias.double()
        return (outer @ inner).float(), bias.float()


class TrainedStudent(nn.Module):
    """Normalised images (N, 3, S, S) -> what the losses look at."""

    def __init__(
        self,
        student: Student,
        wide_dim: int | None = None,
        batchnorm: BatchNormMode = "batch",
        frozen_layers: Sequence[str] = (),
        *,
        quantization_aware: bool = False,
    ) -> None:
        """Freeze what `frozen_layers` names.

        Raises:
            InputError: the trunk has no such layer.
        """
        super().__init__()
        # PyTorch's own conversion would drop the activation that timm's batch norms carry.
        self.student = convert_sync_batchnorm(student) if batchnorm == "sync" else student  # type: ignore[no-untyped-call]
        self.batchnorm = batchnorm
        self.compact_head = None
        if wide_dim is not None:
            self.compact_head = CompactHead(student.head.in_features, wide_dim, student.descriptor_dim)
            self.student.head.requires_grad_(False)  # its place is taken until the run ends
        keep_slow_depthwise_in_float32(self.student.trunk)
        self.quantization = QuantizationAware(self.student.trunk) if quantization_aware else None
        self.frozen_layers = tuple(frozen_layers)
        for layer in self._frozen():
            layer.requires_grad_(False)

    def _frozen(self) -> list[nn.Module]:
        layers = dict(self.student.trunk.named_modules())
        for name in self.frozen_layers:
            if name not in layers:
                raise unknown_name("layer of the trunk", name, layers)
        return [layers[name] for name in self.frozen_layers]

    def forward(self, images: Tensor) -> Described:
        maps = (self.quantization or _as_it_is)(self.student.trunk, images)
        # Half precision ends here: GeM's cubes overflow float16, and a unit length is not one in bfloat16.
        with torch.autocast(maps.device.type, enabled=False):
            features = self.student.pool(maps.float())
            if self.compact_head is None:
                return Described(self.student.describe_pooled(features), features, None)
            wide = self.compact_head.wide(features)
            return Described(self.student.l2(self.compact_head.compact(wide)), features, F.normalize(wide))

    def train(self, mode: bool = True) -> TrainedStudent:
        """Training mode; frozen batch norms and layers stay as the trunk's weights came."""
        super().train(mode)
        for layer in self._frozen():
            layer.eval()
        if self.batchnorm == "frozen":
            for module in batch_norms(self):
                module.eval()
        return self

    def finished(self) -> Student:
        """A copy on the CPU, in eval mode, without what only training needs: the compact projection is in the head."""
        trained = self.student
        student = Student(trained.name, trained.descriptor_dim, trained.input_size_px)
        student.load_state_dict(trained.state_dict())
        if self.compact_head is not None:
            weight, bias = self.compact_head.folded()
            student.head.load_state_dict({"weight": weight, "bias": bias})
        return student.eval().requires_grad_(False)


def _as_it_is(trunk: nn.Module, images: Tensor) -> Tensor:
    maps: Tensor = trunk(images)
    return maps


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Every batch-norm layer of a model."""
    return [module for module in model.modules() if isinstance(module, BATCH_NORMS)]


def mean_decay(decay: float, step: int) -> float:
    """The decay after a step counted from 0: small at first, so that the random start of a head is soon forgotten.

    Source: TensorFlow's ExponentialMovingAverage with `num_updates`.
    """
    return min(decay, (1.0 + step) / (10.0 + step))


@torch.no_grad()
def update_mean(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `mean` towards `model`: w = decay * w + (1 - decay) * new; buffers are taken over as they are."""
    weights: list[Tensor] = list(mean.parameters())
    torch._foreach_lerp_(weights, list(model.parameters()), 1.0 - decay)
    for own, new in zip(mean.buffers(), model.buffers(), strict=True):
        own.copy_(new)
