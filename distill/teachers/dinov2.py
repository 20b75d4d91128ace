"""DINOv2, without and with register tokens: the normalised class token, as upstream's `forward` gives it.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023; Darcet et al., "Vision
Transformers Need Registers", 2023; `hub/backbones.py` for how each brings its 37 x 37 positions to another size.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from distill.teachers.teacher import Network
from distill.teachers.vit import build_vit, resample_positions

INPUT_SIZE_PX = 224
_SWIGLU = {".mlp.w12.": ".mlp.fc1.", ".mlp.w3.": ".mlp.fc2."}  # upstream's names -> timm's


class ClassToken(nn.Module):
    """(N, 3, S, S) -> (N, C)."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.trunk(images)
        return tokens[:, 0]


def is_dinov2(state: Mapping[str, Tensor]) -> bool:
    """Whether these are DINOv2's keys: DINO's ViT has no layer scale."""
    return "blocks.0.ls1.gamma" in state and "patch_embed.proj.weight" in state


def build_dinov2(state: Mapping[str, Tensor], what: str, input_size_px: int | None = None) -> Network:
    """The network these tensors are of.

    Raises:
        InputError: a size that is not a multiple of the patch, or tensors that do not fit.
    """
    size_px = input_size_px or INPUT_SIZE_PX
    width, _, _, patch_px = state["patch_embed.proj.weight"].shape
    renamed = _timm_names(state)
    has_registers = "register_tokens" in state
    renamed["pos_embed"] = resample_positions(
        state["pos_embed"],
        1,
        size_px // patch_px,
        offset=0.0 if has_registers else 0.1,
        antialias=has_registers,
    )
    if has_registers:  # timm keeps positions for the patches alone
        renamed["reg_token"] = renamed.pop("register_tokens")
        renamed["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        renamed["pos_embed"] = renamed["pos_embed"][:, 1:]
    is_swiglu = "blocks.0.mlp.w12.weight" in state
    return Network(ClassToken(build_vit(renamed, size_px, what, is_swiglu=is_swiglu)), width, size_px)


def _timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        if name == "mask_token":  # only training masks
            continue
        for theirs, ours in _SWIGLU.items():
            name = name.replace(theirs, ours)
        renamed[name] = value
    return renamed
