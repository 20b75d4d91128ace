"""An .mlpackage opened: which file inside is the model, whether it is an ML Program, and its image input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.mil import wire
from export.mil.blobs import BlobFile
from export.mil.program import Program, read_program
from export.mil.wire import Fields
from icd_mobile.errors import InputError

MAX_SPECIFICATION_VERSION = 9  # iOS 18; its operations are those the evaluator was checked against
_ML_PROGRAM = 502
_OTHER_FORMATS = {
    200: "a pipeline",
    201: "a pipeline",
    202: "a pipeline",
    303: "a neural network",
    403: "a neural network",
    500: "a neural network",
    3000: "an encrypted model",
}
_RGB = 20
_WEIGHTS_PREFIX = "@model_path/"


@dataclass(frozen=True)
class Package:
    """A program and the names of its RGB image inputs."""

    specification_version: int
    program: Program
    image_inputs: tuple[str, ...]


def read_package(path: Path) -> Package:
    """Read an .mlpackage folder.

    Raises:
        InputError: not an .mlpackage, truncated, another format than ML Program, or of a newer specification.
    """
    try:
        model_path = _model_path(path)
        return _read_model(path, model_path)
    except UnicodeDecodeError as error:
        raise InputError(_damaged(path, "text in it cannot be read")) from error
    except OSError as error:
        raise InputError(f"{path}: {Path(error.filename or path).name} cannot be read ({error.strerror})") from error
    except (ValueError, OverflowError) as error:  # overflow: a constant outside its type
        raise InputError(_damaged(path, str(error))) from error


def _damaged(path: Path, why: str) -> str:
    return f"{path} cannot be evaluated: {why}; export it again: python -m export --target coreml"


def _model_path(path: Path) -> Path:
    """The file that `Manifest.json` names as the root model."""
    if not path.is_dir():
        raise InputError(f"needed an .mlpackage folder, {path} is {'a file' if path.exists() else 'missing'}")
    try:
        manifest = json.loads((path / "Manifest.json").read_text())
        item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    except FileNotFoundError as error:
        raise InputError(f"{path} is no .mlpackage: it has no Manifest.json") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError("its Manifest.json names no model") from error
    return _inside(path, path / "Data" / str(item))


def _inside(folder: Path, path: Path) -> Path:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("a path in it leads outside the package")
    return path


def _read_model(path: Path, model_path: Path) -> Package:
    model = wire.parse(model_path.read_bytes())
    version = wire.integer(model, 1)
    if version > MAX_SPECIFICATION_VERSION:
        raise InputError(
            f"{path} has Core ML specification {version}, newer than {MAX_SPECIFICATION_VERSION} (iOS 18); "
            "export for iOS 18 or earlier, or update icd-mobile"
        )
    if _ML_PROGRAM not in model:
        kind = next((name for number, name in _OTHER_FORMATS.items() if number in model), "no ML Program")
        raise InputError(f"needed an ML Program, {path} is {kind}; export it again: python -m export --target coreml")
    files: dict[str, BlobFile] = {}

    def read_blob(name: str, offset: int, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
        if name not in files:
            files[name] = BlobFile(_inside(path, model_path.parent / name.removeprefix(_WEIGHTS_PREFIX)))
        return files[name].read(offset, dtype, shape)

    program = read_program(wire.message(model, _ML_PROGRAM), read_blob)
    return Package(version, program, tuple(_image_inputs(wire.message(model, 2))))


def _image_inputs(description: Fields) -> list[str]:
    names = []
    for feature in wire.messages(description, 1):
        kind = wire.message(feature, 3)
        if 4 not in kind:
            continue
        name, color = wire.text(feature, 1), wire.integer(wire.message(kind, 4), 3)
        if color != _RGB:
            raise ValueError(f"its image input {name!r} has colour space {color}, needed is RGB ({_RGB})")
        names.append(name)
    return names
