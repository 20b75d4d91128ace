"""SSCD: ResNet trunk -> GeM (p = 3) -> Linear, from any of the three published forms.

Source: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, and its `models/model.py`. The
classy form names Classy Vision's modules, the torchvision form torchvision's, which are timm's too; the TorchScript
form is a trace of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import timm
from torch import Tensor, nn

from distill.students.pooling import GeM
from distill.teachers.files import fill
from distill.teachers.teacher import Network
from icd_mobile.errors import InputError

INPUT_SIZE_PX = 320  # the square form of the README
FEATURE_WIDTH = 2048
_CLASSY_BLOCK = re.compile(r"backbone\.blocks\.(\d)\.block\1-(\d+)\.(convolutional_block\.\d|bn|downsample\.\d)\.(\w+)")
_CLASSY_LAYERS = {
    "convolutional_block.0": "conv1",
    "convolutional_block.1": "bn1",
    "convolutional_block.3": "conv2",
    "convolutional_block.4": "bn2",
    "convolutional_block.6": "conv3",
    "bn": "bn3",
}
_PREFIXES = {
    "backbone.initial_block._module.0.": "trunk.conv1.",
    "backbone.initial_block._module.1.": "trunk.bn1.",
    "embeddings.1.": "head.",
    "backbone.fc.": "head.",
    "backbone.": "trunk.",
}
# Blocks of the third stage, and the shape of the first grouped convolution -> timm's name.
_TRUNKS = {
    (6, (64, 64, 3, 3)): "resnet50",
    (23, (128, 4, 3, 3)): "resnext101_32x4d",
    (23, (256, 8, 3, 3)): "resnext101_32x8d",  # what SSCD's training code builds on torchvision
}


class SSCD(nn.Module):
    """(N, 3, S, S) -> (N, D), not yet L2-normalised."""

    def __init__(self, timm_name: str, descriptor_dim: int) -> None:
        super().__init__()
        self.trunk = timm.create_model(timm_name, num_classes=0, global_pool="")
        self.pool = GeM()
        self.head = nn.Linear(FEATURE_WIDTH, descriptor_dim)

    def forward(self, images: Tensor) -> Tensor:
        described: Tensor = self.head(self.pool(self.trunk(images)))
        return described


def is_sscd(state: Mapping[str, Tensor]) -> bool:
    """Whether these are SSCD's keys, in either naming."""
    return any(name.endswith(("embeddings.1.weight", "backbone.fc.weight")) for name in state)


def build_sscd(state: Mapping[str, Tensor], what: str, input_size_px: int | None = None) -> Network:
    """The network these tensors are of.

    Raises:
        InputError: not one of SSCD's trunks, or tensors missing, unexpected or of another shape.
    """
    renamed = {_timm_name(name): value for name, value in state.items()}
    num_blocks = sum(re.fullmatch(r"trunk\.layer3\.\d+\.conv1\.weight", name) is not None for name in renamed)
    grouped, head = renamed.get("trunk.layer1.0.conv2.weight"), renamed.get("head.weight")
    signature = (num_blocks, tuple(grouped.shape) if grouped is not None else ())
    if signature not in _TRUNKS or head is None:
        raise InputError(f"{what} do not fit this network: needed one of SSCD's {', '.join(_TRUNKS.values())}")
    timm_name, descriptor_dim = _TRUNKS[signature], head.shape[0]
    return Network(
        fill(lambda: SSCD(timm_name, descriptor_dim), renamed, what), descriptor_dim, input_size_px or INPUT_SIZE_PX
    )


def _timm_name(name: str) -> str:
    """`trunk.` and timm's name, or `head.`; `model.` is what Lightning puts before it when SSCD is trained."""
    name = name.removeprefix("model.")
    if block := _CLASSY_BLOCK.fullmatch(name):
        stage, index, layer, tensor = block.groups()
        return f"trunk.layer{int(stage) + 1}.{index}.{_CLASSY_LAYERS.get(layer, layer)}.{tensor}"
    for theirs, ours in _PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
