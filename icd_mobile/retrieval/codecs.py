"""How descriptors are stored before they are searched: as they are, or whitened by what training descriptors show.

`Flat` changes nothing. `PCAW{d},L2norm,Flat` subtracts the training mean, rotates to the d directions of largest
variance, divides each by its standard deviation, and normalises. The names are FAISS's index factory strings, as
SSCD's evaluator prints them; the covariance is summed in float64 over all training rows, in one pass, block by block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from icd_mobile.arrays import Descriptors, Floats
from icd_mobile.errors import InputError

FLAT = "Flat"
_WHITENING = re.compile(r"PCAW([1-9]\d*),L2norm,Flat")
LEAST_VARIANCE_SHARE = 1e-9  # of the largest: below it a direction is rounding, not data


@dataclass(frozen=True)
class Codec:
    """`matrix` (d, D) and `offset` (d,) of the whitening, or neither for `Flat`."""

    name: str
    matrix: Descriptors | None = None
    offset: Descriptors | None = None

    def encode(self, descriptors: Descriptors) -> Descriptors:
        """(n, D) to unit rows (n, d); a row that whitening takes to zero stays there."""
        if self.matrix is None or self.offset is None:
            return descriptors
        whitened = descriptors @ self.matrix.T + self.offset
        lengths = np.linalg.norm(whitened, axis=1, keepdims=True)
        unit: Descriptors = whitened / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


def needs_training(name: str) -> bool:
    """Whether the codec is fitted.

    Raises:
        InputError: no such codec.
    """
    if name != FLAT and not _WHITENING.fullmatch(name):
        raise InputError(f"unknown codec '{name}': known are {FLAT} and 'PCAWd,L2norm,Flat' with d a number")
    return name != FLAT


def num_dims_after(name: str, num_dims: int) -> int:
    """The dimensions of what the codec gives for descriptors of `num_dims`.

    Raises:
        InputError: no such codec.
    """
    found = _WHITENING.fullmatch(name) if needs_training(name) else None
    return num_dims if found is None else int(found[1])


def fit_codec(name: str, training: Iterable[Descriptors]) -> Codec:
    """The codec of that name, fitted on blocks (n, D) of training descriptors; `Flat` reads none.

    Raises:
        InputError: no such codec, d over D, or training descriptors that do not span d directions.
    """
    if not needs_training(name):
        return Codec(name)
    found = _WHITENING.fullmatch(name)
    assert found is not None  # needs_training has checked it
    num_kept = int(found[1])
    mean, covariance = _moments(training)
    if num_kept > len(mean):
        raise InputError(f"codec {name} needs descriptors of {num_kept} dimensions or more, got {len(mean)}")
    variances, directions = np.linalg.eigh(covariance)
    kept, axes = variances[::-1][:num_kept], directions[:, ::-1][:, :num_kept]
    if kept[-1] <= LEAST_VARIANCE_SHARE * kept[0]:
        num_spanned = int(np.sum(variances > LEAST_VARIANCE_SHARE * kept[0]))
        raise InputError(
            f"codec {name} needs training descriptors that span {num_kept} directions, these span {num_spanned}; "
            "give more of them or a smaller d"
        )
    matrix = axes.T / np.sqrt(kept)[:, None]
    return Codec(name, matrix.astype(np.float32), (-matrix @ mean).astype(np.float32))


def _moments(blocks: Iterable[Descriptors]) -> tuple[Floats, Floats]:
    """Mean (D,) and covariance (D, D). Unit rows are small, so that plain sums in float64 lose nothing that matters."""
    count, total, squares = 0, np.zeros(0), np.zeros((0, 0))
    for block in blocks:
        rows = block.astype(np.float64)
        if not count:
            total, squares = np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1]))
        count += len(rows)
        total += rows.sum(axis=0)
        squares += rows.T @ rows
    mean = total / max(1, count)
    return mean, squares / max(1, count) - np.outer(mean, mean)
