"""Calibration and benchmarks share no photograph: looked for by the bytes of files, and by what pictures look like.

An artifact judged on pictures that its ranges were read from looks better than it is.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from export.bundle.manifest import CalibrationImage
from export.calibration.images import look_bits
from icd_mobile.datasets.sample_pictures import judged_photos
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.pictures.perceptual_hash import PerceptualHash, looks_the_same, perceptual_hash
from icd_mobile.pictures.preprocessing import UnreadableImageError, list_images, read_rgb

SAMPLE = "sample"
SAME_BYTES, SAME_LOOK = "same bytes", "looks the same"
MAX_NAMED = 5  # pairs that an error names; where there are more, a file has all of them
OVERLAP_NAME = "calibration-overlap.csv"
_BATCH = 256
OnImage = Callable[[int, int], None]  # number of images compared, number of all


@dataclass(frozen=True)
class Overlap:
    """A calibration image, the benchmark's image that is the same photograph, and how that was seen."""

    image: str
    other: str
    how: str

    def __str__(self) -> str:
        return f"{self.image} = {self.other} ({self.how})"


@dataclass(frozen=True)
class Look:
    """What recognises a file; `look` is None where it does not decode."""

    sha256: str
    look: PerceptualHash | None


def looks_of(files: Sequence[Path], on_image: OnImage = lambda _done, _all: None) -> Iterator[Look]:
    """The look of each file, in their order; decoded by as many threads as there are processors."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), _BATCH):
            yield from pool.map(_look, files[start : start + _BATCH])
            on_image(min(start + _BATCH, len(files)), len(files))


def _look(path: Path) -> Look:
    try:
        content = path.read_bytes()
    except OSError:
        return Look("", None)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        return Look(sha256, perceptual_hash(read_rgb(content)))
    except UnreadableImageError:
        return Look(sha256, None)


def find_overlaps(images: Sequence[CalibrationImage], names: Iterable[str], looks: Iterable[Look]) -> list[Overlap]:
    """The pairs of a calibration image and a named file that are one photograph, in the order of the files."""
    own = look_bits(images)
    found = []
    for name, other in zip(names, looks, strict=True):
        same_bytes = np.array([one.sha256 == other.sha256 for one in images])
        alike = same_bytes if other.look is None else same_bytes | looks_the_same(own, other.look)
        for index in np.flatnonzero(alike).tolist():
            how = SAME_BYTES if same_bytes[index] else SAME_LOOK
            found.append(Overlap(images[index].name, name, how))
    return found


def check_disjoint(
    images: Sequence[CalibrationImage],
    benchmarks: Sequence[Path],
    out: Path,
    on_image: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
) -> tuple[str, ...]:
    """The names of the benchmarks that the calibration images were compared with: the embedded sample, and the folders.

    `on_image` hears of each folder's images. Where more than five pairs are found, all are written into `out`.

    Raises:
        InputError: a benchmark is no folder of images, or shares one with the calibration.
    """
    judged = judged_photos()
    looks = [Look(hashlib.sha256(one.path.read_bytes()).hexdigest(), perceptual_hash(one.image)) for one in judged]
    _refuse(find_overlaps(images, (one.path.name for one in judged), looks), SAMPLE, out)
    names = [SAMPLE]
    for folder in benchmarks:
        files = list_images(folder) if folder.is_dir() else []
        if not files:
            raise InputError(f"--disjoint-from needs a folder of images, got {folder}, which is none or holds none")
        names.append(folder.absolute().name)
        check_apart(images, names[-1], folder, files, out, partial(on_image, names[-1]))
    return tuple(names)


def check_apart(
    images: Sequence[CalibrationImage],
    benchmark: str,
    folder: Path,
    files: Sequence[Path],
    out: Path,
    on_image: OnImage = lambda _done, _all: None,
) -> None:
    """The same for one benchmark by its name and its files, which lie below `folder`.

    Raises:
        InputError: the benchmark shares an image with the calibration.
    """
    names = (path.relative_to(folder).as_posix() for path in files)
    _refuse(find_overlaps(images, names, looks_of(files, on_image)), benchmark, out)


def _refuse(overlaps: Sequence[Overlap], benchmark: str, out: Path) -> None:
    if not overlaps:
        return
    listed = ", ".join(map(str, overlaps[:MAX_NAMED]))
    if len(overlaps) > MAX_NAMED:
        path = out / OVERLAP_NAME
        _write(path, overlaps, benchmark)
        listed += f" and {len(overlaps) - MAX_NAMED} more, all in {path}"
    num_images = len({overlap.image for overlap in overlaps})
    images = "1 image is" if num_images == 1 else f"{num_images} images are"
    raise InputError(
        f"calibration and {benchmark} overlap, {images} in both: {listed}; calibrate on photographs that it has not"
    )


def _write(path: Path, overlaps: Sequence[Overlap], benchmark: str) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("calibration_image", "benchmark", "benchmark_image", "how"))
        writer.writerows((one.image, benchmark, one.other, one.how) for one in overlaps)
