"""Long lists of image paths that are held as numbers: DISC has two million, and a `Path` takes 300 bytes.

A path is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NumberedPaths(Sequence[Path]):
    """N paths `folders[places[i]] / NAME` with NAME the number in `name_format`, such as `R{:06d}.jpg`."""

    name_format: str
    numbers: NDArray[np.int32]  # (N,)
    places: NDArray[np.int32]  # (N,)
    folders: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> NumberedPaths: ...
    def __getitem__(self, index: int | slice) -> Path | NumberedPaths:
        if isinstance(index, slice):
            return NumberedPaths(self.name_format, self.numbers[index], self.places[index], self.folders)
        folder: Path = self.folders[self.places[index]]
        return folder / self.name_format.format(self.numbers[index])


@dataclass(frozen=True)
class JoinedPaths(Sequence[Path]):
    """Lists of paths end to end, none of them copied."""

    parts: tuple[Sequence[Path], ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Path, ...]: ...
    def __getitem__(self, index: int | slice) -> Path | tuple[Path, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        at = range(len(self))[index]  # a negative index counts from the end, one too large raises IndexError
        for part in self.parts:
            if at < len(part):
                return part[at]
            at -= len(part)
        raise AssertionError("an index in range is in one of the parts")
