"""Pictures to descriptors by a bundle or a checkpoint: what the documented Python API opens (docs/python.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from export.bundle.bundle import check_files, read_manifest
from export.bundle.manifest import MANIFEST_NAME
from export.bundle.session import open_session
from icd_mobile.arrays import Descriptors
from icd_mobile.errors import InputError
from icd_mobile.evidence import Evidence
from icd_mobile.pictures.preprocessing import Pixels, UnreadableImageError, read_rgb, to_pixels

Picture = str | Path | bytes | Image.Image | Pixels
_AT_ONCE = 32


@dataclass(frozen=True)
class Describer:
    """An opened bundle or checkpoint.

    `threshold` is the inner product from which two descriptors are called a match, where `bench run --write-threshold`
    has written one into the bundle. `evidence` is "reference" where a reference evaluator stands in for the runtime.
    """

    name: str
    descriptor_dim: int
    input_size_px: int
    threshold: float | None
    evidence: Evidence
    _describe: Callable[[Pixels], Descriptors] = field(repr=False)  # (n, S, S, 3) -> (n, D)

    def describe(self, pictures: Iterable[Picture]) -> Descriptors:
        """Files, their bytes, PIL images or (H, W, 3) uint8 RGB arrays -> (N, D) float32, rows of unit length.

        A picture is turned upright and squeezed to S x S, as the pixel contract says; a few are held at once.

        >>> describer.describe(photos).shape
        (2, 192)

        Raises:
            InputError: one that cannot be read, by its name or place in the list.
        """
        rows: list[Descriptors] = [np.empty((0, self.descriptor_dim), dtype=np.float32)]
        held: list[Pixels] = []
        for index, picture in enumerate(pictures):
            held.append(to_pixels(_rgb(picture, index), self.input_size_px))
            if len(held) == _AT_ONCE:
                rows.append(self._describe(np.stack(held)))
                held = []
        if held:
            rows.append(self._describe(np.stack(held)))
        return np.concatenate(rows)


def open_bundle(folder: str | Path, num_threads: int = 1) -> Describer:
    """A bundle, its files checked against its manifest's hashes, opened by its runtime on this computer.

    >>> open_bundle(bundle).name
    'tiny-onnx-fp32'

    Raises:
        InputError: not a bundle.
        GateError: a file of it is missing, changed or added.
        OutsideError: its runtime is not installed, or not to be had on this system.
    """
    bundle_dir = Path(folder)
    manifest = read_manifest(bundle_dir)
    check_files(bundle_dir, manifest)
    session, evidence = open_session(manifest.target, bundle_dir / manifest.model_path, num_threads)

    def describe(pixels: Pixels) -> Descriptors:
        rows = []
        for image in pixels:
            session.feed(image)
            session.invoke()
            rows.append(session.read())
        return np.stack(rows)

    return Describer(
        manifest.name,
        manifest.student.descriptor_dim,
        manifest.pixels.size_px,
        manifest.accuracy.threshold_at_p90,
        evidence,
        describe,
    )


def open_checkpoint(name_or_path: str | Path) -> Describer:
    """A student in PyTorch: a shipped one by name (`default`), or a checkpoint's path.

    >>> open_checkpoint("default").descriptor_dim
    256

    Raises:
        InputError: no such student or file, or one that is damaged.
        OutsideError: PyTorch, or the package that carries the trunk, is not installed.
    """
    import torch

    from distill.students.checkpoint import open_student
    from distill.students.describe import describe_pixels

    checkpoint = open_student(str(name_or_path))
    card = checkpoint.card

    def describe(pixels: Pixels) -> Descriptors:
        return describe_pixels(checkpoint.model, pixels, torch.device("cpu"))

    return Describer(card.student, card.descriptor_dim, card.input_size_px, None, "measured", describe)


def describe(source: str | Path, pictures: Iterable[Picture]) -> Descriptors:
    """N pictures by a bundle's folder, or a checkpoint's name or path, in one call: (N, D) float32, unit length.

    >>> describe(bundle, photos).shape
    (2, 192)

    Raises:
        InputError: as `open_bundle`, `open_checkpoint` and `Describer.describe`.
    """
    is_bundle = (Path(source) / MANIFEST_NAME).is_file()
    return (open_bundle(source) if is_bundle else open_checkpoint(source)).describe(pictures)


def _rgb(picture: Picture, index: int) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(
                f"picture {index} must be an RGB array (H, W, 3) of uint8, got {picture.shape} of {picture.dtype}"
            )
        return Image.fromarray(picture)
    try:
        return read_rgb(Path(picture) if isinstance(picture, str) else picture)
    except UnreadableImageError as error:
        name = f"picture {index}" if isinstance(picture, bytes) else picture
        raise InputError(f"{name} cannot be read: {error}") from error
