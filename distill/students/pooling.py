"""Generalised-mean pooling and the L2 step, in the one form that every target lowers well.

GeM source: Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018; SSCD uses p = 3,
constant, with the input clamped at 1e-6. The clamp cuts negative activations and their gradient: SiLU and
Hardswish trunks (EfficientNet-B0, MobileNet-V3, MobileViT) do go negative, and lose that part on purpose here,
in training and in every exported graph alike.

Both are written in ops that the mobile providers of ONNX Runtime take, so that the graph stays in one partition
(docs/decisions/0005-mobile-tail.md): no ReduceMean, ReduceSum, ReduceL2, Expand or Reciprocal.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

EPSILON = 1e-6


class GeM(nn.Module):
    """(N, C, H, W) map or (N, T, C) tokens -> (N, C), with p = 3, the cube as two multiplications."""

    def forward(self, features: Tensor) -> Tensor:
        clamped = features.clamp(min=EPSILON)
        cubed = clamped * clamped * clamped
        if features.ndim == 4:
            means = F.avg_pool2d(cubed, kernel_size=list(features.shape[-2:])).flatten(1)
        else:
            means = cubed.mean(dim=1)
        return means.pow(1.0 / 3.0)


class L2Normalize(nn.Module):
    """(N, D) -> (N, D) of unit length; the sum of squares is a linear layer of ones, its bias the epsilon."""

    ones: Tensor
    epsilon: Tensor

    def __init__(self, descriptor_dim: int) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(1, descriptor_dim), persistent=False)
        self.register_buffer("epsilon", torch.full((1,), 1e-12), persistent=False)

    def forward(self, descriptors: Tensor) -> Tensor:
        squared_norms = F.linear(descriptors * descriptors, self.ones, self.epsilon)
        return descriptors / torch.sqrt(squared_norms)
