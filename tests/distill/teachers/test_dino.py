"""DINO and DINOv2 against their forward passes, written out here from the publishers' formulas and key names."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from torch import Tensor

from distill.teachers import open_teacher
from distill.teachers.dino import build_dino_vit
from distill.teachers.dinov2 import build_dinov2
from icd_mobile.errors import InputError

WIDTH, DEPTH = 128, 2  # two heads of 64 channels
State = dict[str, Tensor]


def vit_shapes(width: int, depth: int, patch_px: int, side: int) -> dict[str, tuple[int, ...]]:
    """The flat keys of DINO's ViT."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side * side, width),
        "patch_embed.proj.weight": (width, 3, patch_px, patch_px),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(depth):
        for layer, inputs, outputs in (
            ("attn.qkv", width, 3 * width),
            ("attn.proj", width, width),
            ("mlp.fc1", width, 4 * width),
            ("mlp.fc2", 4 * width, width),
        ):
            shapes |= {f"blocks.{block}.{layer}.weight": (outputs, inputs), f"blocks.{block}.{layer}.bias": (outputs,)}
        shapes |= {
            f"blocks.{block}.{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("weight", "bias")
        }
    return shapes


def dinov2_shapes(width: int, depth: int, side: int, num_registers: int, swiglu: int) -> dict[str, tuple[int, ...]]:
    """DINOv2 adds a mask token and layer scales; registers; and, in the largest, a gated MLP of `swiglu` channels."""
    shapes = vit_shapes(width, depth, 14, side) | {"mask_token": (1, width)}
    if num_registers:
        shapes["register_tokens"] = (1, num_registers, width)
    for block in range(depth):
        shapes |= {f"blocks.{block}.{scale}.gamma": (width,) for scale in ("ls1", "ls2")}
        if swiglu:
            for layer in ("fc1", "fc2"):
                del shapes[f"blocks.{block}.mlp.{layer}.weight"], shapes[f"blocks.{block}.mlp.{layer}.bias"]
            shapes |= {
                f"blocks.{block}.mlp.w12.weight": (2 * swiglu, width),
                f"blocks.{block}.mlp.w12.bias": (2 * swiglu,),
                f"blocks.{block}.mlp.w3.weight": (width, swiglu),
                f"blocks.{block}.mlp.w3.bias": (width,),
            }
    return shapes


def random_state(shapes: dict[str, tuple[int, ...]]) -> State:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def positions(state: State, side: int, *, offset: float, antialias: bool) -> Tensor:
    """`interpolate_pos_encoding`: the class token's stays, the grid's is scaled by (side + 0.1) / old side."""
    own = state["pos_embed"]
    old = int(math.sqrt(own.shape[1] - 1))
    if old == side:
        return own
    grid = own[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    scale = {"scale_factor": ((side + offset) / old,) * 2} if offset else {"size": (side, side)}
    grid = F.interpolate(grid, mode="bicubic", antialias=antialias, **scale)
    return torch.cat([own[:, :1], grid.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)


def reference_tokens(state: State, images: Tensor, *, offset: float = 0.1, antialias: bool = False) -> Tensor:
    """Normalised tokens (N, 1 + registers + T, C), attention written out, LayerNorm with eps 1e-6."""
    width, _, _, patch_px = state["patch_embed.proj.weight"].shape
    side, heads = images.shape[-1] // patch_px, width // 64

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (width,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    patches = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch_px)
    tokens = torch.cat([state["cls_token"].expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    tokens = tokens + positions(state, side, offset=offset, antialias=antialias)
    if "register_tokens" in state:
        registers = state["register_tokens"].expand(len(images), -1, -1)
        tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
    for block in range(sum(name.endswith(".norm1.weight") for name in state)):
        name = f"blocks.{block}"
        qkv = linear(norm(tokens, f"{name}.norm1"), f"{name}.attn.qkv")
        query, key, value = qkv.reshape(len(images), -1, 3, heads, 64).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-2, -1) / 8.0).softmax(dim=-1)  # the square root of 64
        mixed = linear((attention @ value).transpose(1, 2).flatten(2), f"{name}.attn.proj")
        tokens = tokens + mixed * state.get(f"{name}.ls1.gamma", torch.ones(()))
        hidden = norm(tokens, f"{name}.norm2")
        if f"{name}.mlp.w12.weight" in state:
            gate, rest = linear(hidden, f"{name}.mlp.w12").chunk(2, dim=-1)
            hidden = linear(F.silu(gate) * rest, f"{name}.mlp.w3")
        else:
            hidden = linear(F.gelu(linear(hidden, f"{name}.mlp.fc1")), f"{name}.mlp.fc2")
        tokens = tokens + hidden * state.get(f"{name}.ls2.gamma", torch.ones(()))
    return norm(tokens, "norm")


def copy_descriptor(state: State, images: Tensor) -> Tensor:
    """`eval_copy_detection.py`, up to its whitening: the class token joined with GeM (p = 4) of the patch tokens."""
    tokens = reference_tokens(state, images)
    pooled = tokens[:, 1:].clamp(min=1e-6).pow(4).mean(dim=1).pow(1 / 4)
    return F.normalize(torch.cat([tokens[:, 0], pooled], dim=1))


def _images(size_px: int) -> Tensor:
    return torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size_px", [224, 320])
def test_dinos_backbone_gives_its_copy_descriptor(size_px: int, tmp_path: Path) -> None:
    state = random_state(vit_shapes(WIDTH, DEPTH, 32, 7))
    torch.save(state, tmp_path / "backbone.pth")
    teacher = open_teacher(str(tmp_path / "backbone.pth"), input_size_px=size_px)
    assert (teacher.descriptor_dim, teacher.input_size_px) == (2 * WIDTH, size_px)
    described = teacher.describe(_images(size_px))
    torch.testing.assert_close(described, copy_descriptor(state, _images(size_px)), rtol=0, atol=1e-6)


def test_dinos_own_input_size_is_320() -> None:
    assert build_dino_vit(random_state(vit_shapes(64, 1, 32, 7)), "the tensors").input_size_px == 320


@pytest.mark.parametrize("wrapped", ["", "module."])
def test_a_full_checkpoint_gives_what_its_teachers_backbone_gives(wrapped: str, tmp_path: Path) -> None:
    state = random_state(vit_shapes(WIDTH, DEPTH, 32, 7))
    head = {
        "head.mlp.0.weight": torch.zeros(8, WIDTH),
        "head.mlp.0.bias": torch.zeros(8),
        "head.last_layer.weight_g": torch.ones(4, 1),
        "head.last_layer.weight_v": torch.zeros(4, 8),
    }
    backbone = {f"backbone.{name}": value for name, value in state.items()}
    checkpoint = {
        "student": {f"module.{name}": torch.zeros_like(value) for name, value in (backbone | head).items()},
        "teacher": {f"{wrapped}{name}": value for name, value in (backbone | head).items()},
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, momentum_teacher=0.996),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }
    torch.save(checkpoint, tmp_path / "full.pth")
    described = open_teacher(str(tmp_path / "full.pth"), input_size_px=224).describe(_images(224))
    torch.testing.assert_close(described, copy_descriptor(state, _images(224)), rtol=0, atol=1e-6)


def test_dinos_resnet_gives_what_its_forward_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet50()
    model.fc = torch.nn.Identity()
    torch.save(model.state_dict(), tmp_path / "resnet.pth")
    teacher = open_teacher(str(tmp_path / "resnet.pth"))
    assert (teacher.descriptor_dim, teacher.input_size_px) == (2048, 224)
    with torch.inference_mode():
        expected = F.normalize(model.eval()(_images(64)))
    torch.testing.assert_close(teacher.describe(_images(64)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "patch_px", "num_keys"), [(384, 16, 150), (384, 8, 150), (768, 16, 150), (768, 8, 150)]
)
def test_the_published_dino_vits_fit_key_for_key(width: int, patch_px: int, num_keys: int) -> None:
    state = _meta(vit_shapes(width, 12, patch_px, 224 // patch_px))
    assert len(state) == num_keys  # 6 outside the blocks, 12 in each of 12
    assert build_dino_vit(state, "the tensors").descriptor_dim == 2 * width


@pytest.mark.parametrize("num_registers", [0, 4])
@pytest.mark.parametrize("swiglu", [0, 96])
@pytest.mark.parametrize("size_px", [112, 56])
def test_dinov2_gives_its_class_token(num_registers: int, swiglu: int, size_px: int) -> None:
    state = random_state(dinov2_shapes(WIDTH, DEPTH, 8, num_registers, swiglu))
    network = build_dinov2(dict(state), "the tensors", size_px)
    own = {"offset": 0.0, "antialias": True} if num_registers else {"offset": 0.1, "antialias": False}
    expected = reference_tokens(state, _images(size_px), **own)[:, 0]
    with torch.inference_mode():
        torch.testing.assert_close(network.features(_images(size_px)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("width", "depth", "swiglu"), [(384, 12, 0), (768, 12, 0), (1024, 24, 0), (1536, 40, 4096)])
@pytest.mark.parametrize("num_registers", [0, 4])
def test_the_published_dinov2s_fit_key_for_key(width: int, depth: int, swiglu: int, num_registers: int) -> None:
    network = build_dinov2(_meta(dinov2_shapes(width, depth, 37, num_registers, swiglu)), "the tensors")
    assert (network.descriptor_dim, network.input_size_px) == (width, 224)


def test_a_size_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(InputError, match="a multiple of 14 px, got 288"):
        build_dinov2(random_state(dinov2_shapes(64, 1, 4, 0, 0)), "the tensors", 288)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"blocks.1.norm2.bias": None}, "1 tensors missing, the first 'blocks.1.norm2.bias'"),
        ({"extra": torch.zeros(1)}, "1 tensors unexpected, the first 'extra'"),
        ({"pos_embed": torch.zeros(1, 31, WIDTH)}, "1 tensors of another shape, the first 'pos_embed'"),
        ({"blocks.0.mlp.fc1.weight": None}, "needed a ViT with attention heads of 64 channels"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: dict[str, Tensor | None], problem: str) -> None:
    changed = random_state(vit_shapes(WIDTH, DEPTH, 32, 7)) | change
    with pytest.raises(InputError, match=problem):
        build_dino_vit({name: value for name, value in changed.items() if value is not None}, "the tensors")


def _meta(shapes: dict[str, tuple[int, ...]]) -> State:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
