"""The datasets that have names: as `python -m bench prepare` leaves them in the datasets' folder."""

from __future__ import annotations

from pathlib import Path

from icd_mobile.datasets.copydays import ORIGINAL
from icd_mobile.datasets.disc import find_truths
from icd_mobile.errors import OutsideError

COPYDAYS, DISC = "copydays", "disc"


def dataset_place(name: str, datasets_dir: Path) -> Path:
    """What `--dataset` means: `copydays` and `disc` where they are prepared, or else a path.

    Raises:
        OutsideError: not prepared yet.
    """
    folder = datasets_dir / name
    is_there = {COPYDAYS: (folder / ORIGINAL).is_dir(), DISC: bool(find_truths(folder))}
    if name not in is_there:
        return Path(name)
    if not is_there[name]:
        raise OutsideError(f"{name} is not in {datasets_dir}; fetch it: python -m bench prepare {name}")
    return folder
