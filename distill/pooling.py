"""Generalised-mean pooling, in the one form that every target lowers well.

Source: Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018; SSCD uses p = 3,
constant, with the input clamped at 1e-6. The clamp cuts negative activations and their gradient: SiLU and
Hardswish trunks (EfficientNet-B0, MobileNet-V3, MobileViT) do go negative, and lose that part on purpose here,
in training and in every exported graph alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-6


class GeM(nn.Module):
    """(N, C, H, W) map or (N, T, C) tokens -> (N, C), with p = 3.

    The cube is written as two multiplications and the root as `pow(1/3)`: `pow(3)` is a slow or unsupported
    path on several mobile delegates.
    """

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, features: Tensor) -> Tensor:
        clamped = features.clamp(min=EPSILON)
        cubed = clamped * clamped * clamped
        return cubed.mean(dim=self.dims).pow(1.0 / 3.0)


def l2_normalize(descriptors: Tensor) -> Tensor:
    """(N, D) -> (N, D) of unit length, as mul / sum / rsqrt.

    ReduceL2 + Expand, which `F.normalize` becomes, makes ONNX Runtime's mobile execution providers split the graph.
    """
    squared = (descriptors * descriptors).sum(dim=1, keepdim=True)
    return descriptors * torch.rsqrt(squared + 1e-12)
