"""The tensors of a TorchScript archive, read without running anything in it.

`torch.jit.load` compiles the code that such a file carries and runs its `__setstate__` methods, and `torch.load` with
`weights_only` refuses the format. But the archive is a zip whose `data.pkl` names its modules and tensors, and whose
`data/` holds the numbers: an unpickler that knows four harmless names reads them.
Source: PyTorch, `torch/csrc/jit/docs/serialization.md`.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from icd_mobile.errors import InputError

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip with the constants that only `torch.jit.save` writes."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by their dotted names, as the module's `state_dict()` has them.

    Raises:
        InputError: truncated, or with names that no module of tensors needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            module = _Unpickler(archive, root).load()
        return dict(_tensors(module, ""))
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is damaged or holds pickled code, which is never run ({error})") from error
    except Exception as error:  # zipfile, zlib and corrupt opcodes raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is not a readable TorchScript archive ({reason}); copy it again") from error


class _Module:
    """Stands for every class of the archive's own code; its attributes are what was pickled."""


def _tensors(module: object, prefix: str) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, _Module):
            found += _tensors(value, f"{prefix}{name}.")
    return found


def _tensor(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_others: object) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)  # refuses to reach outside the storage


def _same(value: object, *_type: object) -> object:
    return value


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(BytesIO(archive.read(f"{root}data.pkl")))
        self._archive = archive
        self._root = root

    def find_class(self, module_name: str, global_name: str) -> object:
        if module_name == "__torch__" or module_name.startswith("__torch__."):
            return _Module
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module_name == "torch" and global_name in _DTYPES:
            return _DTYPES[global_name]
        if module_name == "torch.jit._pickle":  # typed lists of plain values
            return _same
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")

    def persistent_load(self, pid: object) -> Tensor:
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, str(), int()):
                content = self._archive.read(f"{self._root}data/{key}")
                return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)
        raise pickle.UnpicklingError(f"it names a storage as {pid}")
