"""The head of a student without a teacher: PCA, or PCA whitening, of the pooled trunk feature, folded into the Linear.

Source: Jégou and Chum, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening",
2012. The images are read once and only their moments are kept: memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from distill.students.student import Student, student_spec
from icd_mobile.errors import InputError
from icd_mobile.pictures.folders import Decoded
from icd_mobile.pictures.preprocessing import Pixels, UnreadableImageError, to_pixels
from icd_mobile.pictures.skipped import Skipped

Method = Literal["pca", "pca-whitening"]
Matrix = NDArray[np.float64]
BATCH_SIZE = 32
# A share of the mean variance, added to each before whitening: few or repeated images cannot divide by zero.
# From 0 to 1 it moved micro-AP by less than 0.002 (EfficientNet-Lite0, 6,208 photographs, 160 to 288 px): no option.
SHRINKAGE = 0.1


@dataclass(frozen=True)
class Moments:
    """Running mean (F,) and scatter matrix (F, F) of `count` features."""

    count: int
    mean: Matrix
    scatter: Matrix


def empty_moments(width: int) -> Moments:
    """The moments of no feature yet."""
    return Moments(0, np.zeros(width), np.zeros((width, width)))


def add_features(moments: Moments, features: Matrix) -> Moments:
    """The moments with (N, F) more features, N >= 1.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979:
    sums of squares alone would cancel where the mean is large.

    Raises:
        InputError: a feature is not finite.
    """
    if not np.isfinite(features).all():
        raise InputError("the trunk gives features that are not finite; its weights are damaged: give others")
    count = moments.count + len(features)
    mean = features.mean(axis=0)
    centred = features - mean
    shift = mean - moments.mean
    return Moments(
        count,
        moments.mean + shift * len(features) / count,
        moments.scatter + centred.T @ centred + np.outer(shift, shift) * moments.count * len(features) / count,
    )


def projection(moments: Moments, descriptor_dim: int, method: Method) -> tuple[Matrix, Matrix]:
    """Weight (D, F) and bias (D,) whose output has zero mean and unit mean squared norm over the features seen.

    The scale is free, because the descriptor is L2-normalised after it; unit norm keeps half precision comfortable.
    Each row's largest entry is positive, so that the same moments give the same head on every machine.

    Raises:
        InputError: no more features than D, or all of them alike.
    """
    if moments.count <= descriptor_dim:
        raise InputError(
            f"a head of {descriptor_dim} dimensions is fitted on more images than that, got {moments.count} readable "
            f"ones; give more images or a smaller --dim"
        )
    mean_variance = np.trace(moments.scatter) / moments.count / len(moments.mean)
    if mean_variance == 0.0:
        raise InputError(f"a head needs images that differ, got {moments.count} with the same feature; give others")
    variances, vectors = np.linalg.eigh(moments.scatter / moments.count)
    variances, rows = variances[::-1][:descriptor_dim], vectors.T[::-1][:descriptor_dim]
    rows = rows * np.sign(rows[np.arange(descriptor_dim), np.abs(rows).argmax(axis=1)])[:, None]
    scales = np.ones(descriptor_dim)
    if method == "pca-whitening":
        scales = 1.0 / np.sqrt(variances + SHRINKAGE * mean_variance)
    scales = scales / np.sqrt((scales**2 * variances).sum())
    weight = scales[:, None] * rows
    return weight, -weight @ moments.mean


def fold_into_head(student: Student, weight: Matrix, bias: Matrix) -> None:
    """Make (D, F) and (D,) the student's head."""
    student.head.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})


def fit_head(student: Student, images: Iterable[tuple[str, Decoded]], method: Method) -> tuple[int, list[Skipped]]:
    """Fit the head on images with the trunk as it stands; returns how many were used, and those that were not.

    Raises:
        InputError: too few readable images, or features that are not finite.
    """
    student.eval()
    moments = empty_moments(student.head.in_features)
    skipped: list[Skipped] = []
    for batch in pixel_batches(images, student.input_size_px, skipped):
        moments = add_features(moments, pooled_features(student, batch))
    fold_into_head(student, *projection(moments, student.descriptor_dim, method))
    return moments.count, skipped


def pooled_features(student: Student, pixels: Pixels) -> Matrix:
    """(N, S, S, 3) uint8 pixels -> (N, F) pooled features, as float64."""
    spec = student_spec(student.name)
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    with torch.inference_mode():
        images: Tensor = (torch.from_numpy(pixels).float() / 255.0 - mean) / std
        return student.pooled(images.permute(0, 3, 1, 2).contiguous()).double().numpy()


def pixel_batches(
    images: Iterable[tuple[str, Decoded]],
    size_px: int,
    skipped: list[Skipped],
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Iterator[Pixels]:
    """Readable images as (N, S, S, 3) pixels, N up to `BATCH_SIZE`; the others are added to `skipped`."""
    batch: list[Pixels] = []
    for name, image in images:
        if isinstance(image, UnreadableImageError):
            skipped.append(Skipped(name, str(image)))
            continue
        batch.append(to_pixels(image, size_px, resample))
        if len(batch) == BATCH_SIZE:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
