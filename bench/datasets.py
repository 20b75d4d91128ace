"""A dataset to judge copies on: a folder of references, queries and the pairs that match.

    references/*.png|jpg|...   queries/*.png|jpg|...   ground_truth.csv   [training/*.png|jpg|...]

`ground_truth.csv` has the columns `query_id,reference_id`; an id is a file name without its suffix, and an empty
reference is a query without a match. `training/` holds pictures that are never judged: what score normalisation and
whitening are fitted on. `edits.csv` (`query_id,edits`), where there is one, says how each query was made.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from bench.micro_ap import Ints
from distill.errors import InputError
from distill.preprocessing import UnreadableImageError, list_images, read_rgb, to_pixels

GROUND_TRUTH_NAME, EDITS_NAME = "ground_truth.csv", "edits.csv"


@dataclass(frozen=True)
class Dataset:
    """Q queries, R references, T training images, and the ground-truth pairs (P, 2) as indexes into the first two."""

    name: str
    folder: Path
    queries: tuple[Path, ...]
    references: tuple[Path, ...]
    training: tuple[Path, ...]
    pairs: Ints
    edits: dict[str, str]  # query id -> how it was made; empty without an edits.csv
    sha256: str  # over every name and byte that the figures depend on

    @property
    def images(self) -> tuple[Path, ...]:
        """Queries, then references, then training images."""
        return self.queries + self.references + self.training


@dataclass(frozen=True)
class PixelFile:
    """A .npy of (Q + R + T, S, S, 3) uint8 in the order of `Dataset.images`; those that could not be read are black."""

    path: Path
    unreadable: tuple[int, ...]


def read_dataset(folder: Path) -> Dataset:
    """Read a folder in the layout above.

    Raises:
        InputError: a part is missing or empty, two files share an id, a CSV is broken, or the ground truth names an
            unknown id or a pair twice.
    """
    for part in ("references", "queries", GROUND_TRUTH_NAME):
        if not (folder / part).exists():
            raise InputError(f"{folder} has no {part}; a dataset is references/, queries/ and {GROUND_TRUTH_NAME}")
    queries, references = _images_by_id(folder / "queries"), _images_by_id(folder / "references")
    training = _images_by_id(folder / "training") if (folder / "training").exists() else {}
    query_index = {name: index for index, name in enumerate(queries)}
    reference_index = {name: index for index, name in enumerate(references)}
    pairs = _read_pairs(folder / GROUND_TRUTH_NAME, query_index, reference_index)
    return Dataset(
        name=folder.name,
        folder=folder,
        queries=tuple(queries.values()),
        references=tuple(references.values()),
        training=tuple(training.values()),
        pairs=pairs,
        edits=_read_edits(folder / EDITS_NAME),
        sha256=_content_sha256(
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
    rows: dict[tuple[int, int], int] = {}
    for number, row in enumerate(read_csv(path, ("query_id", "reference_id")), start=2):
        query, reference = row["query_id"], row["reference_id"]
        if query not in queries:
            raise InputError(f"{path} row {number}: no query '{query}' in queries/")
        if reference and reference not in references:
            raise InputError(f"{path} row {number}: no reference '{reference}' in references/")
        if not reference:
            continue
        pair = queries[query], references[reference]
        if pair in rows:
            raise InputError(f"{path} row {number} repeats the pair {query},{reference} of row {rows[pair]}; remove it")
        rows[pair] = number
    if not rows:
        raise InputError(f"{path} names no matching pair; micro-AP needs at least one")
    return np.array(list(rows), dtype=np.int64)


def _read_edits(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["query_id"]: row["edits"] for row in read_csv(path, ("query_id", "edits"))}


def _content_sha256(folder: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash}\n".encode())
    return digest.hexdigest()


def pixels_of(
    dataset: Dataset, size_px: int, cache_dir: Path, on_image: Callable[[int, int], None] | None = None
) -> PixelFile:
    """Preprocess every image once; the result is cached by content hash, size and Pillow version.

    `on_image` is called with the number done and the number of all.
    """
    path = cache_dir / f"{dataset.sha256[:16]}-{size_px}px-pillow-{PIL.__version__}.npy"
    sidecar = path.with_suffix(".json")
    if path.is_file() and sidecar.is_file():
        return PixelFile(path, tuple(json.loads(sidecar.read_text(encoding="utf-8"))["unreadable"]))
    cache_dir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    unreadable = []
    shape = (len(dataset.images), size_px, size_px, 3)
    try:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for index, source in enumerate(dataset.images):
                try:
                    pixels = to_pixels(read_rgb(source), size_px)
                except UnreadableImageError:
                    unreadable.append(index)
                    pixels = np.zeros(shape[1:], dtype=np.uint8)
                file.write(pixels.tobytes())
                if on_image is not None:
                    on_image(index + 1, len(dataset.images))
        sidecar.write_text(json.dumps({"unreadable": unreadable}), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return PixelFile(path, tuple(unreadable))
