"""Which images of DISC 2021 lie below a folder, held as numbers: two million of them take 30 MB.

The names say what an image is: `R000000.jpg` a reference, `T000000.jpg` a training image, `Q00000.jpg` a query.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from icd_mobile.datasets.image_paths import NumberedPaths
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import IMAGE_SUFFIXES

Numbers = NDArray[np.int32]
_NAME = re.compile(r"([RT]\d{6}|Q\d{5})\.jpg")
_FORMATS = {"R": "R{:06d}", "T": "T{:06d}", "Q": "Q{:05d}"}


def image_id(letter: str, number: int) -> str:
    """`R000000` and its like."""
    return _FORMATS[letter].format(number)


def image_number(letter: str, name: str) -> int | None:
    """The number in an id; None where it is no id of that letter."""
    return int(name[1:]) if name[:1] == letter and _NAME.fullmatch(f"{name}.jpg") else None


@dataclass(frozen=True)
class DiscImages:
    """The images of one letter, by number: the bytes of each, -1 where there is none, and which folder it lies in."""

    letter: str
    sizes: NDArray[np.int64]
    places: Numbers
    folders: list[Path]  # shared by the three letters

    def there(self, among: range) -> Numbers:
        """Numbers of the images that are there, rising."""
        return self._where(self.sizes[among.start : among.stop] >= 0, among)

    def missing(self, among: range) -> Numbers:
        """Numbers of those that are not, rising."""
        return self._where(self.sizes[among.start : among.stop] < 0, among)

    def paths(self, numbers: Numbers) -> NumberedPaths:
        """Their files."""
        return NumberedPaths(f"{_FORMATS[self.letter]}.jpg", numbers, self.places[numbers], tuple(self.folders))

    def _where(self, chosen: NDArray[np.bool_], among: range) -> Numbers:
        return (among.start + np.flatnonzero(chosen)).astype(np.int32)


def scan_disc(folder: Path) -> dict[str, DiscImages]:
    """Every image below a folder, by letter; none where there is no folder.

    Links are followed; hidden files and what is no image are passed over.

    Raises:
        InputError: an image's name is no DISC id, or an id comes twice.
    """
    folders: list[Path] = []
    images = {
        letter: DiscImages(letter, np.full(capacity, -1, dtype=np.int64), np.zeros(capacity, dtype=np.int32), folders)
        for letter, capacity in (("R", 10**6), ("T", 10**6), ("Q", 10**5))
    }
    for place, entry in _image_files(folder) if folder.is_dir() else ():
        if not folders or folders[-1] is not place:
            folders.append(place)
        if not _NAME.fullmatch(entry.name):
            raise InputError(
                f"{entry.path} is not named as in DISC (R000000.jpg, T000000.jpg, Q00000.jpg); move it away"
            )
        kind, number = images[entry.name[0]], int(entry.name[1:-4])
        if kind.sizes[number] >= 0:
            raise InputError(f"{entry.path} is also in {folders[kind.places[number]]}; remove one of the two")
        kind.sizes[number], kind.places[number] = entry.stat().st_size, len(folders) - 1
    return images


def _image_files(folder: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Image files with the folder they lie in, those of one folder together."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name[entry.name.rfind(".") :].lower() in IMAGE_SUFFIXES:
                yield folder, entry
            elif entry.is_dir():
                below.append(entry.name)
    for name in sorted(below):
        yield from _image_files(folder / name)
