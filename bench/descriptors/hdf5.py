"""A finished store as the HDF5 parts that `python -m bench evaluate` reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.descriptors.store import DescriptorStore
from icd_mobile.arrays import Descriptors, Ints
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.retrieval.descriptor_files import BLOCK_BYTES, write_descriptor_blocks


def write_parts(folder: Path, dataset: Dataset, store: DescriptorStore) -> list[Path]:
    """Write queries.h5, references.h5 and, where there are any, training.h5; returns their paths.

    Images that could not be read are left out, and a side that has none left has no file.
    """
    all_images = dataset.images
    readable = np.ones(len(all_images), dtype=bool)
    readable[[row.row for row in store.skipped()]] = False
    sides = {"queries": dataset.queries, "references": dataset.references, "training": dataset.training}
    paths, start = [], 0
    for side, images in sides.items():
        rows = start + np.flatnonzero(readable[start : start + len(images)])
        start += len(images)
        if len(rows):
            paths.append(folder / f"{side}.h5")
            ids = [dataset.query_id(row) if side == "queries" else all_images[row].stem for row in rows.tolist()]
            write_descriptor_blocks(paths[-1], _blocks(store, rows), store.key.num_dims, ids)
    return paths


def _blocks(store: DescriptorStore, rows: Ints) -> Iterator[Descriptors]:
    descriptors = store.descriptors()
    num_rows = max(1, BLOCK_BYTES // (4 * store.key.num_dims))
    for first in range(0, len(rows), num_rows):
        yield descriptors[rows[first : first + num_rows]]
