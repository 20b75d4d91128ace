"""The datasets that have names: the sample, and those that `python -m bench prepare` leaves in the datasets' folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from icd_mobile.datasets.copydays import ORIGINAL
from icd_mobile.datasets.disc import find_truths
from icd_mobile.datasets.sample import build_sample
from icd_mobile.errors import OutsideError

SAMPLE, COPYDAYS, DISC = NAMES = ("sample", "copydays", "disc")
DATASETS_DIR = Path("artifacts/datasets")
PIXELS_FOLDER = "pixels"  # below it: preprocessed images, kept


def dataset_place(name: str, datasets_dir: Path, on_image: Callable[[int, int], None] | None = None) -> Path:
    """What `--dataset` means: `sample`, which is made where it is not there yet, `copydays` and `disc` where they are
    prepared, or else a path. `on_image` hears of each picture of the sample that is made.

    Raises:
        OutsideError: not prepared yet, or the packages that carry the sample's photographs are missing.
    """
    folder = datasets_dir / name
    if name == SAMPLE:
        return build_sample(datasets_dir, on_image)
    is_there = {COPYDAYS: (folder / ORIGINAL).is_dir(), DISC: bool(find_truths(folder))}
    if name not in is_there:
        return Path(name)
    if not is_there[name]:
        raise OutsideError(f"{name} is not in {datasets_dir}; fetch it: python -m bench prepare {name}")
    return folder
