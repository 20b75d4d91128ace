"""A teacher followed by PCA whitening: fitted once on photographs, kept in a small file, opened like any teacher.

Source: Jégou and Chum, 2012, as `distill/students/fit_head.py`. DINO's copy descriptor and the ImageNet stand-in are
meant to be whitened. The file holds the projection and names its teacher; that teacher's weights stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from distill.students.fit_head import Matrix, add_features, empty_moments, pixel_batches, projection
from distill.teachers.teacher import Network, Teacher
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.pictures.folders import Decoded
from icd_mobile.pictures.preprocessing import Pixels
from icd_mobile.pictures.skipped import Skipped
from icd_mobile.strict import Strict

WHITENED_KEY = "icd_mobile_whitened_teacher"


class WhitenedCard(Strict):
    """The header of the file."""

    schema_version: Literal[1] = 1  # 1: first
    teacher: str  # a name of the catalogue, `student:NAME`, or a file beside this one
    teacher_sha256: str
    input_size_px: int
    num_images: int
    data: str


def fit_whitening(
    teacher: Teacher, images: Iterable[tuple[str, Decoded]], descriptor_dim: int
) -> tuple[Matrix, Matrix, int, list[Skipped]]:
    """Weight (D, F), bias (D,), how many images were used, and those that were not.

    Raises:
        InputError: D is larger than the teacher's, too few readable images, or features that are not finite.
    """
    if descriptor_dim > teacher.descriptor_dim:
        raise InputError(f"--dim {descriptor_dim} is more than the {teacher.descriptor_dim} that {teacher.name} gives")
    moments = empty_moments(teacher.descriptor_dim)
    skipped: list[Skipped] = []
    for batch in pixel_batches(images, teacher.input_size_px, skipped, teacher.network.resample):
        moments = add_features(moments, _features(teacher, batch))
    weight, bias = projection(moments, descriptor_dim, "pca-whitening")
    return weight, bias, moments.count, skipped


def _features(teacher: Teacher, pixels: Pixels) -> Matrix:
    """(N, S, S, 3) uint8 -> (N, F), before the L2 step."""
    with torch.inference_mode():
        images = (torch.from_numpy(pixels).float() / 255.0 - torch.tensor(teacher.mean)) / torch.tensor(teacher.std)
        features: Tensor = teacher.network.features(images.permute(0, 3, 1, 2).contiguous())
    return features.double().numpy()


def save_whitened(path: Path, card: WhitenedCard, weight: Matrix, bias: Matrix) -> None:
    """Write whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {
        name: torch.from_numpy(value).float().contiguous() for name, value in (("weight", weight), ("bias", bias))
    }
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(save(tensors, metadata={WHITENED_KEY: card.model_dump_json()}))
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another place") from error


def read_whitened(path: Path) -> tuple[WhitenedCard, Tensor, Tensor]:
    """Card, weight (D, F) and bias (D,).

    Raises:
        InputError: damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = WhitenedCard.model_validate_json(file.metadata()[WHITENED_KEY])
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except (SafetensorError, OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise InputError(
            f"{path} is a damaged whitened teacher ({str(error).splitlines()[0]}); fit it again"
        ) from error
    return card, weight, bias


def whitened(network: Network, weight: Tensor, bias: Tensor) -> Network:
    """The network with (D, F) and (D,) behind it.

    Raises:
        InputError: F is not the network's.
    """
    if weight.shape[1] != network.descriptor_dim:
        raise InputError(
            f"the whitening is of {weight.shape[1]} dimensions, the teacher gives {network.descriptor_dim}"
        )
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    features = nn.Sequential(network.features, head.requires_grad_(False)).eval()
    return replace(network, features=features, descriptor_dim=weight.shape[0])
