"""What every teacher is, whoever trained it: normalised images in, L2-normalised descriptors out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from PIL import Image
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """`features`: (N, 3, S, S), scaled to 0..1 and normalised by `mean` and `std` -> (N, D), before the L2 step."""

    features: nn.Module
    descriptor_dim: int
    input_size_px: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resample: Image.Resampling = Image.Resampling.BILINEAR  # how its authors squeeze an image to S x S
    precision: str = "fp32"  # of its weights as they are stored
    graph_bytes: int | None = None  # of an ONNX graph's file, whose weights are no tensors here


@dataclass(frozen=True)
class Teacher:
    """An opened teacher in eval mode; `weights_sha256` is that of its file, or of a student's tensors."""

    name: str
    network: Network
    weights_sha256: str
    licence: str
    source: str

    @property
    def descriptor_dim(self) -> int:
        """D."""
        return self.network.descriptor_dim

    @property
    def input_size_px(self) -> int:
        """S."""
        return self.network.input_size_px

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of the pixels as 0..1, by channel."""
        return self.network.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Of the pixels as 0..1, by channel."""
        return self.network.std

    @property
    def num_bytes(self) -> int:
        """Of its weights, or of the graph that holds them."""
        tensors = self.network.features.state_dict().values()
        of_tensors: int = sum(value.numel() * value.element_size() for value in tensors)
        return of_tensors + (self.network.graph_bytes or 0)

    @torch.no_grad()
    def describe(self, images: Tensor) -> Tensor:
        """(N, 3, S, S), normalised by `mean` and `std` -> L2-normalised (N, D), without gradient."""
        return F.normalize(self.network.features(images).float())

    def to(self, device: torch.device | str) -> Teacher:
        """The same teacher there."""
        return replace(self, network=replace(self.network, features=self.network.features.to(device)))
