"""A dataset from a folder, whichever of the three shapes it has."""

from __future__ import annotations

from pathlib import Path

from icd_mobile.datasets.copydays import ORIGINAL, read_copydays
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.disc import find_truths, read_disc
from icd_mobile.datasets.own_layout import GROUND_TRUTH_NAME, read_own_layout
from icd_mobile.errors import InputError


def read_dataset(place: Path) -> Dataset:
    """Read a folder of DISC (`datasets.disc`), Copydays (`datasets.copydays`) or our own layout (`own_layout`).

    For DISC with several ground truths, name one of these files instead.

    >>> found = read_dataset(dataset)
    >>> len(found.queries), len(found.references), len(found.pairs)
    (5, 6, 4)

    Raises:
        InputError: a part is missing or empty, two files share an id, a CSV is broken, or the ground truth names an
            unknown id or a pair twice. The file and, where there is one, the row are named.
    """
    if place.is_file():
        return read_disc(place)
    if (place / GROUND_TRUTH_NAME).is_file():
        return read_own_layout(place)
    if (place / ORIGINAL).is_dir():
        return read_copydays(place)
    if truths := find_truths(place):
        if len(truths) > 1:
            names = " and ".join(path.name for path in truths)
            raise InputError(f"{place} has {names}, each a split of DISC; name one: --dataset {truths[0]}")
        return read_disc(truths[0])
    return read_own_layout(place)
