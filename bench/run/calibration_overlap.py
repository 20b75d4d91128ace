"""Was an artifact calibrated on pictures of the test? Its bundle says which it used; the dataset is looked through.

What the judged images look like is kept beside their pixels, so that a set is looked through once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.artifacts.artifact import Artifact
from export.bundle.manifest import CalibrationImage
from export.calibration.disjoint import Look, OnImage, find_overlaps, looks_of
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.image_paths import JoinedPaths
from icd_mobile.files import whole_file
from icd_mobile.retrieval.result import Accuracy, CalibrationOverlap

FORMAT = "looks-1"  # 1: icd_mobile.pictures.perceptual_hash as it was first
NOT_RECORDED = "its bundle does not say which images it was calibrated on; export it again"


def find_calibration_overlap(
    images: Sequence[CalibrationImage], dataset: Dataset, cache_dir: Path, on_image: OnImage = lambda _done, _all: None
) -> tuple[CalibrationOverlap, ...]:
    """The calibration images that are queries or references as well; training images are not judged.

    `on_image` hears of the dataset's images where they are looked through for the first time.
    """
    if not images:
        return ()
    judged = JoinedPaths((dataset.queries, dataset.references))
    names = (path.relative_to(dataset.folder).as_posix() for path in judged)
    found = find_overlaps(images, names, _looks(judged, dataset, cache_dir, on_image))
    return tuple(CalibrationOverlap(image=one.image, other=one.other, how=one.how) for one in found)


def with_overlap(accuracy: Accuracy, artifact: Artifact, overlap: tuple[CalibrationOverlap, ...]) -> Accuracy:
    """The accuracy of an artifact with what was found of its calibration, or why nothing can be said of that."""
    not_measured = dict(accuracy.not_measured)
    if artifact.info.precision == "int8" and artifact.calibration is None:
        not_measured["calibration"] = NOT_RECORDED
    return accuracy.model_copy(update={"calibration_overlap": overlap, "not_measured": not_measured})


def _looks(judged: Sequence[Path], dataset: Dataset, cache_dir: Path, on_image: OnImage) -> list[Look]:
    path = cache_dir / f"{dataset.sha256[:16]}-{FORMAT}.npz"
    if path.is_file():
        return _read(path)
    looks = list(looks_of(judged, on_image))
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            sha256=np.array([one.sha256 for one in looks]),
            look=np.array([np.zeros(4, np.uint64) if one.look is None else one.look for one in looks]),
            decodes=np.array([one.look is not None for one in looks]),
        )
    return looks


def _read(path: Path) -> list[Look]:
    with np.load(path, allow_pickle=False) as kept:
        rows = zip(kept["sha256"].tolist(), kept["look"], kept["decodes"].tolist(), strict=True)
        return [Look(sha256, look if decodes else None) for sha256, look, decodes in rows]
