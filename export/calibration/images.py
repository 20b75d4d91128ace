"""The images of a calibration folder: read, and refused where no range could be learnt from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from export.bundle.manifest import CalibrationImage
from icd_mobile.errors import InputError
from icd_mobile.pictures.perceptual_hash import looks_the_same, perceptual_hash
from icd_mobile.pictures.preprocessing import UnreadableImageError, list_images, read_rgb

MAX_IMAGES = 32
MAX_SIDE_PX = 1024
BLANK_STDDEV = 1.0  # grey levels in every channel: what compression leaves of a plain colour
_GIVE = "give some tens of different photographs"


@dataclass(frozen=True)
class ReadImage:
    """A calibration image at no more than 1024 px a side: 32 photographs of a phone would fill the memory."""

    info: CalibrationImage
    image: Image.Image


def read_image(name: str, content: bytes) -> ReadImage:
    """Decode an image, and note what recognises it and its copies.

    Raises:
        UnreadableImageError: as `read_rgb`.
    """
    image = read_rgb(content)
    look = perceptual_hash(image).tobytes().hex()
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return ReadImage(CalibrationImage(name=name, sha256=hashlib.sha256(content).hexdigest(), look=look), image)


def read_folder(folder: Path) -> tuple[list[ReadImage], list[str]]:
    """At most 32 images, spread evenly over the sorted folder, and the names of those that could not be read.

    Raises:
        InputError: the folder is missing or empty, no image in it can be read, or they come to less than two different
            photographs.
    """
    paths = _list(folder)
    step = -(-len(paths) // MAX_IMAGES)
    spread = [path for start in range(step) for path in paths[start::step]]  # evenly first, then the gaps between
    images: list[ReadImage] = []
    skipped: list[str] = []
    for path in spread:
        if len(images) == MAX_IMAGES:
            break
        name = os.fsencode(path.relative_to(folder)).decode(errors="replace")  # it goes into JSON
        try:
            images.append(read_image(name, path.read_bytes()))
        except (UnreadableImageError, OSError):
            skipped.append(name)
    if not images:
        raise InputError(
            f"--calibration folder {folder}: none of its {len(paths)} images can be read, the first is {paths[0].name}"
        )
    if problem := why_too_few(images):
        raise InputError(f"--calibration folder {folder} {problem}; {_GIVE}")
    return images, skipped


def _list(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"--calibration needs a folder of images, got {folder}, which is not a folder")
    try:
        paths = list_images(folder)
    except OSError as error:
        raise InputError(
            f"--calibration folder {folder} cannot be read ({error.strerror}); check its rights"
        ) from error
    if not paths:
        raise InputError(f"--calibration folder {folder} holds no images; put some tens of photographs there")
    return paths


def why_too_few(images: Sequence[ReadImage]) -> str:
    """Why these images are not two different photographs at least; "" where they are."""
    seen = [one for one in images if not is_blank(one.image)]
    if not seen:
        return f"holds nothing but blank images ({len(images)} of one colour each, the first is {images[0].info.name})"
    if not looks_the_same(look_bits(one.info for one in seen), look_bits([seen[0].info])[0]).all():
        return ""
    if len(images) == 1:
        return f"holds one image, {images[0].info.name}"
    if len(seen) == 1:
        return f"holds one image that is not blank, {seen[0].info.name}"
    return f"holds one photograph {len(seen)} times ({seen[0].info.name} and {seen[1].info.name} look the same)"


def look_bits(images: Iterable[CalibrationImage]) -> NDArray[np.uint64]:
    """(N, 4): the perceptual hashes of calibration images."""
    rows = [np.frombuffer(bytes.fromhex(one.look), dtype=np.uint64) for one in images]
    return np.array(rows, dtype=np.uint64).reshape(-1, 4)


def is_blank(image: Image.Image) -> bool:
    """Whether an RGB image is of one colour, or what compression leaves of one."""
    return max(ImageStat.Stat(image).stddev) < BLANK_STDDEV
