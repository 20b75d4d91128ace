"""The weight file of an ML Program, format version 2.

A header of 64 bytes; then for each blob 64 bytes that say its type, size and place, and the blob itself, aligned to 64
bytes. A program names a blob by the place of its 64 bytes. Source: MILBlob/Blob/StorageFormat.hpp and
BlobDataType.hpp of github.com/apple/coremltools.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_VERSION = 2
_SENTINEL = 0xDEADBEEF
_HEADER = struct.Struct("<II")  # number of blobs, version
_ENTRY = struct.Struct("<IIQQ")  # sentinel, type, bytes, place of the blob
_TYPE_CODES = {
    "float16": 1,
    "float32": 2,
    "uint8": 3,
    "int8": 4,
    "int16": 6,
    "uint16": 7,
    "int32": 14,
    "uint32": 15,
}


class BlobFile:
    """One weight file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Open.

        Raises:
            ValueError: not a weight file of version 2.
            OSError: it cannot be read.
        """
        if path.stat().st_size < 64:
            raise ValueError(f"{path.name} has {path.stat().st_size} bytes, a weight file has 64 or more")
        self._name = path.name
        self._data = np.memmap(path, dtype=np.uint8, mode="r")
        _, version = _HEADER.unpack(self._data[: _HEADER.size].tobytes())
        if version != _VERSION:
            raise ValueError(f"{path.name} has weight format {version}, needed is {_VERSION}")

    def read(self, offset: int, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
        """The blob whose 64 bytes are at `offset`, as an array of numpy's `dtype`, a copy.

        Raises:
            ValueError: no such blob there, or the file ends before it does.
        """
        if dtype not in _TYPE_CODES:
            raise ValueError(f"weights of type {dtype}: the evaluator reads {', '.join(_TYPE_CODES)}")
        entry = self._data[offset : offset + _ENTRY.size].tobytes()
        if len(entry) < _ENTRY.size:
            raise ValueError(f"{self._name} ends before byte {offset}, where weights should be; it is truncated")
        sentinel, code, num_bytes, start = _ENTRY.unpack(entry)
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if (sentinel, code, num_bytes) != (_SENTINEL, _TYPE_CODES[dtype], wanted):
            raise ValueError(f"{self._name} has no {dtype} weights of shape {shape} at byte {offset}")
        content = self._data[start : start + num_bytes]
        if len(content) < num_bytes:
            raise ValueError(f"{self._name} ends inside the weights at byte {start}; it is truncated")
        return np.frombuffer(content.tobytes(), dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)
