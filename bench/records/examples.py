"""A few query and reference pairs of a dataset, kept beside the records so that a report can show them by itself."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from icd_mobile.datasets.dataset import Dataset
from icd_mobile.errors import InputError
from icd_mobile.files import write_whole
from icd_mobile.pictures.preprocessing import UnreadableImageError, read_rgb
from icd_mobile.strict import Strict

NUM_EXAMPLES = 12
LONG_SIDE_PX = 200
Base64 = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]  # safe inside HTML


class Example(Strict):
    """Two small JPEG pictures, base64, and what was done to the reference to get the query."""

    query_jpeg: Base64
    reference_jpeg: Base64
    caption: str


class Examples(Strict):
    """The whole of an examples file."""

    dataset: str
    dataset_sha256: str
    pairs: tuple[Example, ...]


def write_examples(dataset: Dataset, folder: Path) -> None:
    """Write the examples of a dataset, pairs spread evenly over it, unless they are there."""
    path = _path(folder, dataset.sha256)
    if path.is_file():
        return
    chosen = np.unique(np.linspace(0, len(dataset.pairs) - 1, NUM_EXAMPLES).round().astype(int))
    pairs = []
    for query, reference in dataset.pairs[chosen]:
        try:
            pair = (_thumbnail(dataset.queries[query]), _thumbnail(dataset.references[reference]))
        except UnreadableImageError:
            continue
        pairs.append(Example(query_jpeg=pair[0], reference_jpeg=pair[1], caption=_caption(dataset, int(query))))
    examples = Examples(dataset=dataset.name, dataset_sha256=dataset.sha256, pairs=tuple(pairs))
    write_whole(path, examples.model_dump_json())


def _caption(dataset: Dataset, query: int) -> str:
    return dataset.blocks[query] if dataset.blocks else dataset.edits.get(dataset.query_id(query), "")


def read_examples(folder: Path, dataset_sha256: str) -> Examples | None:
    """The examples kept for a dataset; None where there are none.

    Raises:
        InputError: the file is damaged.
    """
    path = _path(folder, dataset_sha256)
    if not path.is_file():
        return None
    try:
        return Examples.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged; delete it and run `python -m bench run` again") from error


def _path(folder: Path, dataset_sha256: str) -> Path:
    return folder / f"{dataset_sha256[:16]}.examples.json"


def _thumbnail(path: Path) -> str:
    image = read_rgb(path)
    image.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
