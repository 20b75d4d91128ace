"""A collection of photographs with random access by index: a folder, nested or not, or an uncompressed tar.

Opening it decodes every file once: what does not decode and what is there twice is left out and listed. The order is by
name, so that a tar and the folder it was made of are the same collection. A read opens the file anew: nothing is shared
between processes, so the collection works in any data-loading worker, forked or spawned.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.pictures.folders import FoundImage, find_images
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb
from icd_mobile.progress import track_images

MAX_CORRUPT_SHARE = 0.05
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_AT_ONCE = 1024  # files in flight while a collection is opened


@dataclass(frozen=True)
class SkippedPhoto:
    """A file left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Photos:
    """The photographs in order of their names, and the sha256 over their names and contents."""

    source: Path
    files: tuple[FoundImage, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image.Image:
        """The RGB photograph at an index.

        Raises:
            InputError: it was read when the collection was opened, and no longer is.
        """
        photo = self.files[index]
        try:
            return read_rgb(_read_bytes(self.source, photo))
        except (UnreadableImageError, OSError) as error:
            raise InputError(
                f"{photo.name} in {self.source} changed while it was in use ({error}); put it back and start again"
            ) from error


@dataclass(frozen=True)
class OpenedPhotos:
    """A collection and what was left out of it."""

    photos: Photos
    num_files: int
    skipped: tuple[SkippedPhoto, ...]
    num_corrupt: int
    num_duplicates: int


def open_photos(source: Path, skipped_path: Path | None = None, num_threads: int = 4) -> OpenedPhotos:
    """Read every file once; write what is left out to `skipped_path` as CSV `name,reason`, if there is any.

    Of files with the same bytes the first by name stays.

    Raises:
        InputError: no such source, no image in it, a compressed tar, or more than 5 % of its files corrupt.
    """
    found = sorted(find_images(source), key=lambda photo: photo.name)
    _refuse_compressed(source)
    skipped: list[SkippedPhoto] = []
    num_corrupt = 0
    first_of: dict[str, str] = {}  # sha256 of a content -> the name that stands for it
    kept: list[FoundImage] = []
    digest = hashlib.sha256()
    for photo, content_sha256, problem in _checked(source, found, num_threads):
        if problem:
            num_corrupt += 1
            skipped.append(SkippedPhoto(photo.name, problem))
        elif content_sha256 in first_of:
            skipped.append(SkippedPhoto(photo.name, f"the same file as {first_of[content_sha256]}"))
        else:
            first_of[content_sha256] = photo.name
            kept.append(photo)
            digest.update(f"{photo.name}\0{content_sha256}\n".encode(errors="surrogateescape"))
    if skipped and skipped_path is not None:
        _write_skipped(skipped_path, skipped)
    if num_corrupt > MAX_CORRUPT_SHARE * len(found):
        listed = f"they are listed in {skipped_path}" if skipped_path else f"the first is {skipped[0].name}"
        raise InputError(
            f"{num_corrupt:,} of {len(found):,} images in {source} do not decode, more than "
            f"{MAX_CORRUPT_SHARE:.0%}; {listed}: repair or remove them"
        )
    photos = Photos(source, tuple(kept), digest.hexdigest())
    return OpenedPhotos(photos, len(found), tuple(skipped), num_corrupt, len(skipped) - num_corrupt)


def _refuse_compressed(source: Path) -> None:
    if source.is_file():
        with source.open("rb") as file:
            if file.read(6).startswith(_COMPRESSED):
                raise InputError(f"{source} is a compressed tar, which cannot be read by index; unpack it or its files")


def _read_bytes(source: Path, photo: FoundImage) -> bytes:
    with (source if photo.num_bytes >= 0 else source / photo.name).open("rb") as file:
        file.seek(photo.offset)
        return file.read(photo.num_bytes)


def _checked(source: Path, found: list[FoundImage], num_threads: int) -> Iterator[tuple[FoundImage, str, str]]:
    """Photograph, sha256 of its file, and why it cannot be used or "", in order. Decoding runs beside Python."""

    def check(photo: FoundImage) -> tuple[FoundImage, str, str]:
        try:
            content = _read_bytes(source, photo)
            read_rgb(content)
        except (UnreadableImageError, OSError) as error:
            return photo, "", str(error)
        return photo, hashlib.sha256(content).hexdigest(), ""

    def checked() -> Iterator[tuple[FoundImage, str, str]]:
        with ThreadPoolExecutor(num_threads) as pool:
            for start in range(0, len(found), _AT_ONCE):
                yield from pool.map(check, found[start : start + _AT_ONCE])

    return track_images(checked(), len(found), "photographs")


def _write_skipped(path: Path, skipped: list[SkippedPhoto]) -> None:
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason"))
        rows.writerows((photo.name, photo.reason) for photo in skipped)
