"""The photographs a dataset is made of: each read once, hashed, and kept unless it is unreadable or there already.

Two copies of one photograph in different roles would be a match that the ground truth does not list. So files of the
same bytes, and photographs that look the same (`pictures.perceptual_hash`), count once: the first by name stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icd_mobile.errors import InputError
from icd_mobile.parallel import parallel_map
from icd_mobile.pictures.folders import count_images, stream_files
from icd_mobile.pictures.perceptual_hash import NUM_WORDS, PerceptualHash, looks_the_same, perceptual_hash
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb


@dataclass(frozen=True)
class Photo:
    """A photograph by its name in the source; `path` is where its bytes are while the dataset is made."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class SkippedPhoto:
    """A file of the source that has no role, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PhotoSource:
    """A folder or tar: its usable photographs and the others, both in the order of their names."""

    name: str
    num_files: int
    sha256: str  # over the names and bytes of all files
    photos: tuple[Photo, ...]
    skipped: tuple[SkippedPhoto, ...]


@dataclass(frozen=True)
class _Scan:
    sha256: str
    look: PerceptualHash | None  # None: does not decode
    reason: str


def read_photos(images: Path, spool_dir: Path, num_workers: int, on_image: Callable[[int, int], None]) -> PhotoSource:
    """Read a folder, or a tar whose image files are put into `spool_dir` first, to be read at random later.

    `on_image` is called with the number of files read and the number of all.

    Raises:
        InputError: no folder or tar, no image in it, or more than half of them do not decode.
    """
    num_files = count_images(images)
    files = sorted(_files(images, spool_dir))
    digest = hashlib.sha256()
    photos: list[Photo] = []
    skipped: list[SkippedPhoto] = []
    unreadable: list[SkippedPhoto] = []
    seen = _Seen(num_files)
    scans = parallel_map(_scan, [path for _, path in files], num_workers)
    for index, ((name, path), scan) in enumerate(zip(files, scans, strict=True)):
        digest.update(f"{name}\0{scan.sha256}\n".encode(errors="surrogateescape"))  # a name need not be UTF-8
        photo = Photo(name, path, scan.sha256)
        if scan.look is None:
            unreadable.append(SkippedPhoto(name, scan.reason))
            skipped.append(unreadable[-1])
        elif reason := seen.reason_to_skip(photo, scan.look):
            skipped.append(SkippedPhoto(name, reason))
        else:
            photos.append(photo)
        on_image(index + 1, num_files)
    if 2 * len(unreadable) > num_files:
        first = unreadable[0]
        raise InputError(
            f"{len(unreadable):,} of {num_files:,} images in {images} do not decode (first: {first.name}, "
            f"{first.reason}); give others"
        )
    return PhotoSource(images.resolve().name, num_files, digest.hexdigest(), tuple(photos), tuple(skipped))


class _Seen:
    """The photographs kept so far."""

    def __init__(self, capacity: int) -> None:
        self._looks = np.zeros((capacity, NUM_WORDS), dtype=np.uint64)
        self._names: list[str] = []
        self._by_sha256: dict[str, str] = {}

    def reason_to_skip(self, photo: Photo, look: PerceptualHash) -> str:
        """Empty where the photograph is new; it is then one of those kept."""
        if photo.sha256 in self._by_sha256:
            return f"same bytes as {self._by_sha256[photo.sha256]}"
        self._by_sha256[photo.sha256] = photo.name
        alike = np.flatnonzero(looks_the_same(self._looks[: len(self._names)], look))
        if len(alike):
            return f"looks the same as {self._names[alike[0]]}"
        self._looks[len(self._names)] = look
        self._names.append(photo.name)
        return ""


def _files(images: Path, spool_dir: Path) -> Iterator[tuple[str, Path]]:
    for index, (name, file) in enumerate(stream_files(images)):
        if isinstance(file, Path):
            yield name, file
        else:
            path = spool_dir / str(index)  # never the member's own name: it could lead out of the folder
            path.write_bytes(file)
            yield name, path


def _scan(path: Path) -> _Scan:
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Scan(hashlib.sha256().hexdigest(), None, f"cannot be read: {error.strerror}")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return _Scan(sha256, perceptual_hash(read_rgb(data)), "")
    except UnreadableImageError as error:
        return _Scan(sha256, None, str(error))
