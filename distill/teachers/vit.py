"""What DINO and DINOv2 share: a plain ViT read off its tensors, and position embeddings brought to another size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from timm.layers.mlp import Mlp, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from distill.teachers.files import fill
from icd_mobile.errors import InputError

HEAD_WIDTH = 64  # channels of one attention head, in every one of these networks


def is_vit(state: Mapping[str, Tensor]) -> bool:
    """Whether these are a plain ViT's keys."""
    own = {"cls_token": 3, "pos_embed": 3, "patch_embed.proj.weight": 4, "blocks.0.norm1.weight": 1, "norm.weight": 1}
    return all(name in state and state[name].ndim == ndim for name, ndim in own.items())


def build_vit(state: Mapping[str, Tensor], input_size_px: int, what: str, *, is_swiglu: bool = False) -> nn.Module:
    """(N, 3, S, S) -> normalised tokens (N, 1 + registers + T, C), from tensors under timm's names.

    Raises:
        InputError: S is not a multiple of the patch size, or tensors are missing, unexpected or of another shape.
    """
    width, _, _, patch_px = state["patch_embed.proj.weight"].shape
    if input_size_px < patch_px or input_size_px % patch_px:
        raise InputError(f"{what} take images whose side is a multiple of {patch_px} px, got {input_size_px}")
    if width % HEAD_WIDTH or "blocks.0.mlp.fc1.weight" not in state:
        raise InputError(f"{what} do not fit this network: needed a ViT with attention heads of {HEAD_WIDTH} channels")
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    depth = sum(name.endswith(".norm1.weight") for name in state)
    num_registers = state["reg_token"].shape[1] if "reg_token" in state else 0

    def build() -> nn.Module:
        return VisionTransformer(
            img_size=input_size_px,
            patch_size=patch_px,
            embed_dim=width,
            depth=depth,
            num_heads=width // HEAD_WIDTH,
            mlp_ratio=(hidden + 0.5) / width,  # timm rounds down to `hidden`
            init_values=1.0 if "blocks.0.ls1.gamma" in state else None,
            reg_tokens=num_registers,
            no_embed_class=bool(num_registers),  # then the class token carries its own position
            mlp_layer=cast(type[nn.Module], SwiGLUPacked) if is_swiglu else Mlp,
            act_layer=nn.SiLU if is_swiglu else None,
            num_classes=0,
            global_pool="",
        )

    return fill(build, state, what)


def resample_positions(positions: Tensor, num_prefix: int, side: int, *, offset: float, antialias: bool) -> Tensor:
    """(1, prefix + T, C) position embeddings -> (1, prefix + side^2, C), the prefix as it was.

    `offset` is what DINO adds to the side before it scales, against rounding; it moves the sampling points a little,
    and with them the descriptors, so it is kept. 0 scales by the sizes alone.
    """
    prefix, patches = positions[:, :num_prefix], positions[:, num_prefix:]
    old_side = math.isqrt(patches.shape[1])
    if old_side == side or old_side**2 != patches.shape[1]:  # a grid that is none is refused where it does not fit
        return positions
    grid = patches.float().reshape(1, old_side, old_side, -1).permute(0, 3, 1, 2)
    if offset:
        scale = (side + offset) / old_side
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", antialias=antialias)
    else:
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=antialias)
    return torch.cat([prefix, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
