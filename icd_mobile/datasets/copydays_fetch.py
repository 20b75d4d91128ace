"""Copydays from its publishers: what can be downloaded is, the rest is asked for by hand, and any of it is checked.

The originals and the strong copies come from Meta's mirror. INRIA's own site often refuses (403), so the JPEG and crop
blocks are the user's to get; an archive put into the dataset's folder is unpacked from there.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath

from icd_mobile.datasets.copydays import (
    BLOCKS,
    CROP_BLOCKS,
    DISTRACTORS,
    JPEG_BLOCKS,
    NUM_ORIGINALS,
    NUM_STRONG,
    ORIGINAL,
    STRONG,
)
from icd_mobile.datasets.tree_check import Part, TreeCheck, few
from icd_mobile.download import download
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import list_images

MIRROR = "https://dl.fbaipublicfiles.com/vissl/datasets"
_INRIA = (
    "by hand from http://pascal.inrialpes.fr/data/holidays/{name}, or from its copy at web.archive.org; put it into "
    "the dataset's folder and run prepare again"
)


@dataclass(frozen=True)
class Archive:
    """A .tar.gz whose images become one folder. Of a member's path the last `depth` names are kept."""

    name: str
    part: str
    num_images: int
    depth: int
    sha256: str | None  # of the mirror's archive; None: not to be downloaded


ARCHIVES = (
    Archive(
        "copydays_original.tar.gz",
        ORIGINAL,
        NUM_ORIGINALS,
        depth=1,
        sha256="8b85b7914fd0145bc258bde3440f6a622243ca91ee085fe2025ce7bdeb0bfb8e",
    ),
    Archive(
        "copydays_strong.tar.gz",
        STRONG,
        NUM_STRONG,
        depth=1,
        sha256="7852c64aa4a37e8329ce08159fc947c16f09c66737db0a2479a90fc9ae40760c",
    ),
    Archive("copydays_jpeg.tar.gz", "jpegqual", len(JPEG_BLOCKS) * NUM_ORIGINALS, depth=2, sha256=None),
    Archive("copydays_crop.tar.gz", "crops", len(CROP_BLOCKS) * NUM_ORIGINALS, depth=2, sha256=None),
)


def fetch_copydays(folder: Path) -> None:
    """Download and unpack the parts that are not in a folder yet; each appears whole or not at all.

    Raises:
        OutsideError: no network, or another archive than the one known; says which file to put where.
        InputError: a part is there and not whole, or an archive is damaged or holds another number of images.
    """
    for archive in ARCHIVES:
        place, path = folder / archive.part, folder / archive.name
        if place.exists():
            num_found = len(list_images(place))
            if num_found < archive.num_images and archive.sha256:
                raise InputError(
                    f"{place} has {num_found} of {archive.num_images} images; move it away to have it fetched anew"
                )
            continue
        if archive.sha256:
            download(f"{MIRROR}/{archive.name}", path, sha256=archive.sha256, what=f"Copydays ({archive.part})")
        if path.is_file():
            unpack(path, archive, place)


def unpack(path: Path, archive: Archive, place: Path) -> None:
    """Write an archive's images into the folder `place`, whole or not at all. Nothing else of it is written.

    Raises:
        InputError: damaged, a member that would leave the folder, or another number of images than known.
    """
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        with tarfile.open(path, "r:gz") as members:
            for member in members:
                name = PurePosixPath(*PurePosixPath(member.name).parts[-archive.depth :])
                if member.isfile() and name.suffix == ".jpg" and not name.name.startswith("."):
                    members.extract(member.replace(name=str(name), deep=False), temporary, filter="data")
        num_found = len(list_images(temporary))
        if num_found != archive.num_images:
            raise InputError(f"{path} holds {num_found} images where {archive.num_images} are known; get it anew")
        temporary.rename(place)
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a whole .tar.gz ({error}); remove it and get it anew") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_distractors(folder: Path, distractors: Path) -> None:
    """Make a folder of images the distractors of a tree, by a link to it.

    Raises:
        InputError: no image there, or the tree has other distractors.
    """
    place = folder / DISTRACTORS
    if not distractors.is_dir() or not list_images(distractors):
        raise InputError(f"no images in {distractors}; --distractors needs a folder of them")
    if place.exists() and not place.samefile(distractors):
        raise InputError(f"{place} is there already; remove it, or leave out --distractors")
    if not place.exists():
        place.unlink(missing_ok=True)  # a link to what is gone
        place.symlink_to(distractors.resolve(), target_is_directory=True)


def check_copydays(folder: Path) -> TreeCheck:
    """Count a tree's images; none of them is opened. No folder is an empty tree.

    A block's images have the originals' names, so that those missing can be named; the strong copies' are not known.
    """
    names = {block: {path.stem for path in _images(folder / block)} for block in (ORIGINAL, *BLOCKS)}
    groups = {f"{name[:4]}00" for block in BLOCKS for name in names[block]}
    parts = []
    for archive in ARCHIVES:
        blocks = [block for block in names if block.partition("/")[0] == archive.part]
        missing = sorted(groups - names[ORIGINAL]) if archive.part == ORIGINAL else []
        if archive.depth > 1:
            missing = [f"{block}/{name}" for block in blocks for name in sorted(names[ORIGINAL] - names[block])]
        source = f"{MIRROR}/{archive.name}" if archive.sha256 else _INRIA.format(name=archive.name)
        num_found = sum(len(names[block]) for block in blocks)
        parts.append(Part(archive.part, archive.num_images, num_found, bool(archive.sha256), few(missing), source))
    source = "any folder of images: --distractors DIR; published figures have 10,000"
    return TreeCheck(folder, (*parts, Part(DISTRACTORS, 0, len(_images(folder / DISTRACTORS)), False, "", source)))


def _images(folder: Path) -> list[Path]:
    return list_images(folder) if folder.is_dir() else []
