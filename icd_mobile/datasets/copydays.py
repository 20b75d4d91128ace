"""Copydays (INRIA): 157 photographs, and copies of them in blocks, one for each kind and strength of attack.

    original/200000.jpg ...           the database, with the images of distractors/ where there are any
    strong/200001.jpg ...             229 copies edited by hand; the first four digits are the original's
    jpegqual/{3..75}/200000.jpg ...   each original scaled down, as JPEG of that quality
    crops/{10..80}/200000.jpg ...     each original with that share of its surface cut off

Source: Douze et al., "Evaluation of GIST descriptors for web-scale image search", 2009.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from icd_mobile.datasets.dataset import Dataset, content_sha256
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import list_images

ORIGINAL, STRONG, DISTRACTORS = "original", "strong", "distractors"
JPEG_BLOCKS = tuple(f"jpegqual/{quality}" for quality in (3, 5, 8, 10, 15, 20, 30, 50, 75))
CROP_BLOCKS = tuple(f"crops/{percent}" for percent in (10, 15, 20, 30, 40, 50, 60, 70, 80))
BLOCKS = (STRONG, *JPEG_BLOCKS, *CROP_BLOCKS)
NUM_ORIGINALS, NUM_STRONG = 157, 229
_GROUP_SIZE = 100  # image 200003 is of the group of original 200000


def read_copydays(folder: Path) -> Dataset:
    """Read a tree as above. Blocks that are not there are not judged, and the dataset's name says so; without all
    originals it is named "partial".

    Raises:
        InputError: no block but the originals, an image whose name is not six digits, an original's not ending in 00,
            or a copy without an original.
    """
    originals = _numbered(folder / ORIGINAL)
    index_of_group = {number // _GROUP_SIZE: index for index, number in enumerate(originals)}
    for number, path in originals.items():
        if number % _GROUP_SIZE:
            raise InputError(f"{path} is among the originals, whose names end in 00; move it to {folder / STRONG}")
    queries: list[Path] = []
    blocks: list[str] = []
    pairs: list[tuple[int, int]] = []
    for block in BLOCKS:
        for number, path in _numbered(folder / block).items():
            if number // _GROUP_SIZE not in index_of_group:
                raise InputError(f"{path} has no original: needed {ORIGINAL}/{number // _GROUP_SIZE}00.jpg; add it")
            pairs.append((len(queries), index_of_group[number // _GROUP_SIZE]))
            queries.append(path)
            blocks.append(block)
    if not queries:
        raise InputError(f"{folder} has no copies: needed {STRONG}/, jpegqual/ or crops/ beside {ORIGINAL}/; add one")
    distractors = list_images(folder / DISTRACTORS) if (folder / DISTRACTORS).is_dir() else []
    references = (*originals.values(), *distractors)
    return Dataset(
        name=folder.absolute().name + _without(blocks) + ("" if len(originals) == NUM_ORIGINALS else ", partial"),
        folder=folder,
        queries=tuple(queries),
        references=references,
        training=(),
        pairs=np.array(pairs, dtype=np.int64),
        edits={},
        sha256=content_sha256(folder, [*queries, *references]),
        blocks=tuple(blocks),
    )


def _numbered(folder: Path) -> dict[int, Path]:
    """The images of a folder by number, rising; none where there is no folder."""
    numbered: dict[int, Path] = {}
    for path in list_images(folder) if folder.is_dir() else []:
        if not re.fullmatch(r"\d{6}", path.stem):
            raise InputError(f"{path} is not named as in Copydays (200000.jpg); move it away")
        if int(path.stem) in numbered:
            raise InputError(f"{path} and {numbered[int(path.stem)]} share a number; remove one")
        numbered[int(path.stem)] = path
    return numbered


def _without(there: list[str]) -> str:
    """What a name says of the blocks that are not there."""
    names = []
    for kind, blocks in ((STRONG, (STRONG,)), ("jpegqual", JPEG_BLOCKS), ("crops", CROP_BLOCKS)):
        num_missing = len(set(blocks) - set(there))
        if num_missing:
            names.append(kind if num_missing == len(blocks) else f"{num_missing} of {len(blocks)} {kind}")
    return f" without {', '.join(names)}" if names else ""
