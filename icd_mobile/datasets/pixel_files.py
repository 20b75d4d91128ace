"""Images as files of pixels, a chunk of at most 1,024 at a time, so that a set of any size fits memory and disk.

The first chunks of each set are kept, up to 2 GiB for each input size, so that the artifacts of a run share them;
later ones are made anew for each artifact and removed once it has embedded them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from icd_mobile.datasets.dataset import Dataset
from icd_mobile.files import whole_file, write_whole
from icd_mobile.pictures.preprocessing import Pixels, UnreadableImageError, read_rgb, to_pixels

CHUNK_SIZE = 1024  # images; about 200 MB of pixels at 256 px
KEPT_BYTES = 2 * 2**30
OnImage = Callable[[int, int], None]  # number done, number of all


@dataclass(frozen=True)
class PixelSource:
    """Images to embed. `pixels(row, size_px)` gives one of them as (S, S, 3), or raises UnreadableImageError.

    `sha256` stands for all that the pixels depend on; `image_name(row)` is what a message calls an image.
    """

    name: str
    sha256: str
    num_images: int
    pixels: Callable[[int, int], Pixels]
    image_name: Callable[[int], str]
    resample: Image.Resampling = Image.Resampling.BILINEAR  # part of the pixels' file name; an artifact has but one


@dataclass(frozen=True)
class PixelFile:
    """A .npy of (n, S, S, 3) uint8, black where an image could not be read, and the reasons by index in the file."""

    path: Path
    unreadable: dict[int, str]


def dataset_source(dataset: Dataset, resample: Image.Resampling = Image.Resampling.BILINEAR) -> PixelSource:
    """Every image of a dataset, in the order of `Dataset.images`; only teachers have a filter of their own."""
    images = dataset.images

    def name(row: int) -> str:
        return images[row].relative_to(dataset.folder).as_posix()

    def pixels(row: int, size_px: int) -> Pixels:
        try:
            return to_pixels(read_rgb(images[row]), size_px, resample)
        except UnreadableImageError as error:  # the reason is kept in files, where no path of this computer belongs
            raise UnreadableImageError(str(error).replace(str(images[row]), name(row))) from error

    return PixelSource(dataset.name, dataset.sha256, len(images), pixels, name, resample)


@contextmanager
def pixel_chunk(
    source: PixelSource, rows: range, size_px: int, cache_dir: Path, on_image: OnImage
) -> Iterator[PixelFile]:
    """The pixels of some consecutive rows, made if they are not there; kept where the set's first 2 GiB end after it.

    `on_image` is called only while they are made.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    if rows.stop * size_px * size_px * 3 > KEPT_BYTES:
        with tempfile.TemporaryDirectory(prefix=".pixels-", dir=cache_dir) as folder:
            yield _write(source, rows, size_px, Path(folder) / "pixels.npy", on_image)
        return
    made_by = f"{source.resample.name.lower()}-pillow-{PIL.__version__}"
    name = f"{source.sha256[:16]}-{size_px}px-{made_by}-{rows.start}-{rows.stop}.npy"
    path = cache_dir / name
    sidecar = _sidecar(path)
    if path.is_file() and sidecar.is_file():
        unreadable = json.loads(sidecar.read_text(encoding="utf-8"))["unreadable"]
        yield PixelFile(path, {int(index): reason for index, reason in unreadable.items()})
    else:
        yield _write(source, rows, size_px, path, on_image)


def _write(source: PixelSource, rows: range, size_px: int, path: Path, on_image: OnImage) -> PixelFile:
    unreadable: dict[int, str] = {}
    shape = (len(rows), size_px, size_px, 3)
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for index, row in enumerate(rows):
                try:
                    pixels = source.pixels(row, size_px)
                except UnreadableImageError as error:
                    unreadable[index] = str(error)
                    pixels = np.zeros(shape[1:], dtype=np.uint8)
                file.write(pixels.tobytes())
                on_image(index + 1, len(rows))
        write_whole(_sidecar(path), json.dumps({"unreadable": unreadable}))
    return PixelFile(path, unreadable)


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
