"""A dataset to judge copies on: references, queries and the pairs that match.

A folder is one of three: DISC (`datasets.disc`), Copydays (`datasets.copydays`), or our own layout:

    references/*.png|jpg|...   queries/*.png|jpg|...   ground_truth.csv   [training/*.png|jpg|...]

`ground_truth.csv` is read as `retrieval.challenge_csv` says; an id is a file name without its suffix. `training/` holds
pictures that are never judged: what score normalisation and whitening are fitted on. `edits.csv` (`query_id,edits`),
where there is one, says how each query was made.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icd_mobile.datasets.image_paths import JoinedPaths
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import list_images
from icd_mobile.retrieval.challenge_csv import read_ground_truth
from icd_mobile.retrieval.micro_ap import Ints

GROUND_TRUTH_NAME, EDITS_NAME = "ground_truth.csv", "edits.csv"


@dataclass(frozen=True)
class Dataset:
    """Q queries, R references, T training images, and the ground-truth pairs (P, 2) as indexes into the first two."""

    name: str
    folder: Path
    queries: Sequence[Path]
    references: Sequence[Path]
    training: Sequence[Path]
    pairs: Ints
    edits: dict[str, str]  # query id -> how it was made; empty without an edits.csv
    sha256: str  # over everything that the figures depend on; how, is the reader's to say
    blocks: tuple[str, ...] = ()  # Copydays: the block of each query, such as jpegqual/3

    @property
    def images(self) -> Sequence[Path]:
        """Queries, then references, then training images."""
        return JoinedPaths((self.queries, self.references, self.training))

    def query_id(self, index: int) -> str:
        """File name without its suffix, after the block where there are blocks: their names repeat."""
        name = self.queries[index].stem
        return f"{self.blocks[index]}/{name}" if self.blocks else name


def read_dataset(place: Path) -> Dataset:
    """Read a folder in one of the three shapes; for DISC with several ground truths, name one of these files instead.

    Raises:
        InputError: a part is missing or empty, two files share an id, a CSV is broken, or the ground truth names an
            unknown id or a pair twice. The file and, where there is one, the row are named.
    """
    from icd_mobile.datasets.copydays import ORIGINAL, read_copydays  # these two build on this file
    from icd_mobile.datasets.disc import find_truths, read_disc

    if place.is_file():
        return read_disc(place)
    if (place / GROUND_TRUTH_NAME).is_file():
        return _read_own_layout(place)
    if (place / ORIGINAL).is_dir():
        return read_copydays(place)
    if truths := find_truths(place):
        if len(truths) > 1:
            names = " and ".join(path.name for path in truths)
            raise InputError(f"{place} has {names}, each a split of DISC; name one: --dataset {truths[0]}")
        return read_disc(truths[0])
    return _read_own_layout(place)


def _read_own_layout(folder: Path) -> Dataset:
    for part in ("references", "queries", GROUND_TRUTH_NAME):
        if not (folder / part).exists():
            raise InputError(
                f"{folder} has no {part}; a dataset is references/, queries/ and {GROUND_TRUTH_NAME}, "
                "or a tree of DISC or Copydays: python -m bench prepare --help"
            )
    queries, references = _images_by_id(folder / "queries"), _images_by_id(folder / "references")
    training = _images_by_id(folder / "training") if (folder / "training").exists() else {}
    query_index = {name: index for index, name in enumerate(queries)}
    reference_index = {name: index for index, name in enumerate(references)}
    pairs = _read_pairs(folder / GROUND_TRUTH_NAME, query_index, reference_index)
    return Dataset(
        name=folder.absolute().name,
        folder=folder,
        queries=tuple(queries.values()),
        references=tuple(references.values()),
        training=tuple(training.values()),
        pairs=pairs,
        edits=_read_edits(folder / EDITS_NAME),
        sha256=content_sha256(
            folder, [folder / GROUND_TRUTH_NAME, *queries.values(), *references.values(), *training.values()]
        ),
    )


def _images_by_id(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in images:
            raise InputError(f"{path} and {images[path.stem].name} share the id '{path.stem}'; rename one")
        images[path.stem] = path
    if not images:
        raise InputError(f"no images in {folder}; put PNG or JPEG files there")
    return images


def read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV with exactly these columns; a byte-order mark and CRLF are fine.

    Raises:
        InputError: not UTF-8, not CSV, another header, or a row of another width.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval=None, strict=True)
            header = tuple(reader.fieldnames or ())
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV in UTF-8 ({error}); save it anew as one") from error
    if header != columns:
        raise InputError(f"{path} needs the header '{','.join(columns)}', got '{','.join(header)}'")
    for number, row in enumerate(rows, start=2):
        if "" in row or None in row.values():
            raise InputError(f"{path} row {number} does not have {len(columns)} columns")
    return rows


def _read_pairs(path: Path, queries: dict[str, int], references: dict[str, int]) -> Ints:
    truth = read_ground_truth(path)
    for query, row in truth.query_rows.items():
        if query not in queries:
            raise InputError(f"{path} row {row}: no query '{query}' in queries/; add its image, or remove the row")
    for (_, reference), row in truth.pairs.items():
        if reference not in references:
            raise InputError(f"{path} row {row}: no reference '{reference}' in references/; add its image")
    unnamed = sorted(queries.keys() - truth.query_rows.keys())
    if truth.names_every_query and unnamed:
        raise InputError(
            f"{path} names queries without a match, but not '{unnamed[0]}' of queries/, nor {len(unnamed) - 1} others; "
            "add its row"
        )
    return np.array([(queries[query], references[reference]) for query, reference in truth.pairs], dtype=np.int64)


def _read_edits(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["query_id"]: row["edits"] for row in read_csv(path, ("query_id", "edits"))}


def content_sha256(folder: Path, paths: list[Path]) -> str:
    """sha256 over the names below the folder, and the bytes, of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash}\n".encode())
    return digest.hexdigest()
