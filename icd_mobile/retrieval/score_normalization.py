"""Score normalisation, and the guard that keeps whatever is fitted apart from what is judged.

A query that is close to many pictures gets high scores everywhere. Normalised, its scores fall by `beta` times the mean
of its three largest cosines to a training set: `1.0[0,2]` in SSCD's notation, with beta 1.0 and ranks 0 to 2. As one
more dimension of the descriptors it stays a single inner product.

Source: Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022, section on score normalisation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from icd_mobile.arrays import Descriptors, Floats
from icd_mobile.errors import GateError, InputError
from icd_mobile.retrieval.descriptor_files import DescriptorSet
from icd_mobile.retrieval.search import nearest_in_blocks

NUM_NEAREST = 3
_HASH_SEED = 20_210_618


def score_bias(queries: Descriptors, training: Iterable[Descriptors], beta: float) -> Floats:
    """(Q,) what to add to every score of each query (Q, D), given blocks (n, D) of training descriptors.

    Raises:
        InputError: fewer than three training descriptors, or other dimensions.
    """
    found = nearest_in_blocks(queries, training, NUM_NEAREST)
    if len(found.scores) < NUM_NEAREST * len(queries):
        raise InputError(f"score normalisation needs {NUM_NEAREST} training descriptors or more; give more")
    bias: Floats = -beta * found.scores.reshape(len(queries), NUM_NEAREST).mean(axis=1)
    return bias


def with_bias(queries: Descriptors, bias: Floats) -> Descriptors:
    """(Q, D + 1): queries whose inner product with `with_one` of the references is the normalised score."""
    return np.concatenate([queries, bias[:, None].astype(np.float32)], axis=1)


def with_one(references: Descriptors) -> Descriptors:
    """(n, D + 1): references for `with_bias`."""
    return np.concatenate([references, np.ones((len(references), 1), dtype=np.float32)], axis=1)


def check_apart(training: DescriptorSet, judged: DescriptorSet) -> None:
    """Refuse to fit on what is judged: no id and no descriptor, to the bit, may be in both.

    Raises:
        GateError: one is; both places are named.
    """
    _, mine, theirs = np.intersect1d(training.ids, judged.ids, return_indices=True)
    if len(mine):
        raise _shared("id", len(mine), training, int(mine[0]), judged, int(theirs[0]))
    _, mine, theirs = np.intersect1d(_row_hashes(training), _row_hashes(judged), return_indices=True)
    for row, other in zip(mine.tolist(), theirs.tolist(), strict=True):
        if np.array_equal(training.row(row), judged.row(other)):  # different rows may meet in a hash
            raise _shared("descriptor", len(mine), training, row, judged, other)


def _shared(what: str, count: int, training: DescriptorSet, row: int, judged: DescriptorSet, other: int) -> GateError:
    return GateError(
        f"the training set shares {count} of its {len(training)} {what}s with the set being judged, first "
        f"{training.where(row)} with {judged.where(other)}; fit on descriptors that are not judged"
    )


def _row_hashes(descriptors: DescriptorSet) -> NDArray[np.uint64]:
    """(N,) 64-bit multilinear hashes of the rows' bits."""
    draw = np.random.default_rng(_HASH_SEED).integers
    factors = draw(0, 2**64, descriptors.num_dims, dtype=np.uint64, endpoint=False) | np.uint64(1)
    hashes = []
    for block in descriptors.blocks():
        bits = (block + np.float32(0)).view(np.uint32)  # -0 becomes 0
        hashes.append((bits * factors).sum(axis=1, dtype=np.uint64))
    return np.concatenate(hashes)
