"""The state dict inside a teacher's file, whichever way it was saved, and a network filled with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.students.weights import check_fit, read_weights_file
from distill.teachers.torchscript_archive import is_torchscript, read_torchscript
from icd_mobile.errors import InputError

_WRAPPERS = ("teacher", "state_dict", "model")  # DINO's full checkpoint, Lightning's and others'


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors, PyTorch or TorchScript file; nothing in it is run.

    Raises:
        InputError: missing, damaged, with pickled code, or not a state dict.
    """
    if path.is_file() and is_torchscript(path):
        return read_torchscript(path)
    # DINO's training script puts its command line beside the weights.
    content = read_weights_file(path, harmless=(argparse.Namespace,))
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} is not a state dict of tensors; save `model.state_dict()`")
    return {name.removeprefix("module."): value.detach() for name, value in content.items()}


def fill(build: Callable[[], nn.Module], state: Mapping[str, Tensor], what: str) -> nn.Module:
    """The module that `build` makes, holding exactly these tensors in float32, in eval mode without gradients.

    It is built without memory of its own, so that a billion weights are not drawn at random first. Batch counters,
    which inference does not read, may be missing.

    Raises:
        InputError: keys missing, unexpected, or of another shape.
    """
    with torch.device("meta"):
        module = build()
    own = module.state_dict()
    counters = {name: torch.tensor(0) for name in own if name.endswith(".num_batches_tracked")}
    given = counters | dict(state)
    check_fit(own, given, what)
    floats = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
    module.load_state_dict(floats, assign=True)
    return module.eval().requires_grad_(False)
