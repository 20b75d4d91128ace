"""DINO: ViT-S and ViT-B by their copy descriptor, ResNet-50 by its pooled map; backbone and full checkpoints alike.

Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", 2021, and its
`eval_copy_detection.py`: 320 px, bicubic, the class token joined with GeM (p = 4) of the patch tokens. The script
whitens them then, which `distill/teachers/whitening.py` does. It takes no ResNet: there the feature is the one that
upstream's own `forward` gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from distill.students.pooling import EPSILON
from distill.teachers.files import fill
from distill.teachers.teacher import Network
from distill.teachers.vit import build_vit, resample_positions

VIT_SIZE_PX, RESNET_SIZE_PX = 320, 224
_AFTER_BACKBONE = ("head.", "fc.")  # the projection that training needs


class ClassTokenAndGeM4(nn.Module):
    """(N, 3, S, S) -> the class token joined with GeM (p = 4) of the patch tokens, (N, 2C)."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.trunk(images)
        squared = tokens[:, 1:].clamp(min=EPSILON).square()
        return torch.cat([tokens[:, 0], squared.square().mean(dim=1).pow(0.25)], dim=1)


def backbone_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix and the projection that a full checkpoint has."""
    names = {name: name.removeprefix("module.").removeprefix("backbone.") for name in state}
    return {names[name]: value for name, value in state.items() if not names[name].startswith(_AFTER_BACKBONE)}


def build_dino_vit(state: Mapping[str, Tensor], what: str, input_size_px: int | None = None) -> Network:
    """From `backbone_state`.

    Raises:
        InputError: a size that is not a multiple of the patch, or tensors that do not fit.
    """
    size_px = input_size_px or VIT_SIZE_PX
    width, _, _, patch_px = state["patch_embed.proj.weight"].shape
    positions = resample_positions(state["pos_embed"], 1, size_px // patch_px, offset=0.1, antialias=False)
    trunk = build_vit({**state, "pos_embed": positions}, size_px, what)
    return Network(ClassTokenAndGeM4(trunk), 2 * width, size_px, resample=Image.Resampling.BICUBIC)


def build_dino_resnet(state: Mapping[str, Tensor], what: str, input_size_px: int | None = None) -> Network:
    """From `backbone_state`.

    Raises:
        InputError: tensors that do not fit.
    """
    trunk = fill(lambda: timm.create_model("resnet50", num_classes=0), state, what)
    width = state["layer4.2.conv3.weight"].shape[0]
    return Network(trunk, width, input_size_px or RESNET_SIZE_PX, resample=Image.Resampling.BICUBIC)
