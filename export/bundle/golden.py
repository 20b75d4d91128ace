"""Golden images: pictures an app runs to prove that its decoding, resizing and inference give our descriptors.

Each golden image is there twice: the photograph before resizing, and the S x S pixels after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from icd_mobile.arrays import Descriptors
from icd_mobile.datasets.sample_pictures import calibration_photos
from icd_mobile.errors import GateError
from icd_mobile.evidence import Evidence
from icd_mobile.pictures.preprocessing import RESIZE_FILTER, Pixels, UnreadableImageError, read_rgb, to_pixels

if TYPE_CHECKING:
    from export.bundle.pixels import PixelStudent

GOLDEN_DIR = "golden"
DESCRIPTORS_NAME = "descriptors.json"
SOURCE_LONG_SIDE_PX = 512


@dataclass(frozen=True)
class Golden:
    """`pixels` (N, S, S, 3) uint8, and the checkpoint's `expected` descriptors (N, D) for them."""

    names: tuple[str, ...]
    sources: tuple[Image.Image, ...]
    pixels: Pixels
    expected: Descriptors


def make_golden(student: PixelStudent, size_px: int) -> Golden:
    """Golden images from the embedded sample's calibration photographs, which no benchmark judges."""
    import torch  # here, so that a bundle can be verified where PyTorch is not installed

    from export.bundle.pixels import to_batch

    photos = calibration_photos()
    sources = []
    for photo in photos:
        source = photo.image.copy()
        source.thumbnail((SOURCE_LONG_SIDE_PX, SOURCE_LONG_SIDE_PX), Image.Resampling.LANCZOS)
        sources.append(source)
    pixels = np.stack([to_pixels(source, size_px) for source in sources])
    with torch.inference_mode():
        expected = np.concatenate([student(to_batch(image)).numpy() for image in pixels])
    return Golden(tuple(photo.name for photo in photos), tuple(sources), pixels, expected)


def write_golden(golden: Golden, folder: Path, artifact: Descriptors | None, evidence: Evidence) -> None:
    """Write sources, pixels and descriptors into a new `folder`.

    `artifact` are the artifact's own, where it ran; `evidence` says by what.
    """
    folder.mkdir()
    entries = []
    for index, name in enumerate(golden.names):
        golden.sources[index].save(folder / f"{name}.source.png")
        Image.fromarray(golden.pixels[index]).save(folder / f"{name}.pixels.png")
        entries.append(
            {
                "source": f"{name}.source.png",
                "pixels": f"{name}.pixels.png",
                "checkpoint_descriptor": golden.expected[index].tolist(),
                "artifact_descriptor": artifact[index].tolist() if artifact is not None else None,
            }
        )
    content = {
        "resize": RESIZE_FILTER,
        "size_px": int(golden.pixels.shape[1]),
        "artifact_evidence": evidence,
        "images": entries,
    }
    (folder / DESCRIPTORS_NAME).write_text(json.dumps(content))


def read_golden(folder: Path) -> tuple[Pixels, Descriptors]:
    """The pixels (N, S, S, 3) of a bundle's golden images, and the artifact's descriptors (N, D) for them.

    Where the artifact was never run, they are the checkpoint's.

    Raises:
        GateError: the folder does not hold what `write_golden` wrote.
    """
    try:
        entries = json.loads((folder / DESCRIPTORS_NAME).read_text())["images"]
        if any(Path(entry["pixels"]).name != entry["pixels"] for entry in entries):
            raise ValueError("a path that leads outside")
        pixels = np.stack([np.asarray(read_rgb(folder / entry["pixels"])) for entry in entries])
        chosen = [entry["artifact_descriptor"] or entry["checkpoint_descriptor"] for entry in entries]
        return pixels, np.array(chosen, dtype=np.float32)
    except (OSError, ValueError, KeyError, TypeError, UnreadableImageError) as error:
        raise GateError(
            f"{folder} cannot be read ({type(error).__name__}: {error}); export the bundle again"
        ) from error
