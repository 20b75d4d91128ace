"""What is not installed, as one line with the command that installs it: which extra brings which module.

The base install describes pictures with a bundle. Training, exporting and benching import what an extra brings, inside
the functions that need it; a command that meets one that is missing ends in this line (`icd_mobile.cli`).
"""

from __future__ import annotations

import importlib.util

from icd_mobile.errors import OutsideError

# module -> the extra of pyproject.toml that brings it, the smallest where several do
MODULES = {
    "lightning": "train",
    "safetensors": "train",
    "tensorboard": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "yaml": "train",
    "ai_edge_quantizer": "export",
    "coremltools": "export",
    "executorch": "export",
    "flatbuffers": "export",
    "litert_torch": "export",
    "onnx": "export",
    "onnxscript": "export",
    "torchao": "export",
    "faiss": "bench",
    "filelock": "bench",
    "h5py": "bench",
    "ray": "ray",
    "imagehash": "rivals",
    "pdqhash": "rivals",
}


def install_command(module: str) -> str:
    """The command that brings a module of `MODULES`."""
    return f"pip install 'icd-mobile[{MODULES[module]}]'"


def not_installed(error: Exception) -> OutsideError | None:
    """The line for a package that an extra brings; None for every other error."""
    if not isinstance(error, ModuleNotFoundError) or error.name not in MODULES:
        return None
    return _missing(error.name)


def require(module: str) -> None:
    """Refuse before minutes of work, not after, what will import a module of `MODULES`.

    Raises:
        OutsideError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise _missing(module)


def _missing(module: str) -> OutsideError:
    return OutsideError(f"{module} is not installed: {install_command(module)}")
