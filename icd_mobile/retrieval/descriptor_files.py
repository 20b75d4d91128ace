"""Descriptors in the challenge's HDF5 files, memory-mapped where they lie in one piece and never held as a whole.

A part holds `vectors` (N, D) and `image_names` (N,); a set may come in several parts. A submission holds both sides:
`query`, `query_ids`, `reference`, `reference_ids`, ids sorted, D at most 256.

Source: Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021, and its starter files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from icd_mobile.arrays import Descriptors
from icd_mobile.errors import InputError
from icd_mobile.files import whole_file
from icd_mobile.pictures.preprocessing import IMAGE_SUFFIXES
from icd_mobile.retrieval.search import UNIT_TOLERANCE

Side = Literal["query", "reference"]
Ids = NDArray[np.str_]
MAX_SUBMISSION_DIMS = 256
BLOCK_BYTES = 64 * 2**20
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError)  # what h5py raises when bytes are flipped or missing


@dataclass(frozen=True)
class Part:
    """One file's `vectors` (N, D), a memory map or an open HDF5 dataset, and its ids (N,)."""

    path: Path
    vectors: Any
    ids: Ids


@dataclass(frozen=True)
class DescriptorSet:
    """N unit descriptors of D dimensions in one or more parts; rows are counted through all of them."""

    parts: tuple[Part, ...]
    ids: Ids

    @property
    def num_dims(self) -> int:
        """D."""
        return int(self.parts[0].vectors.shape[1])

    def __len__(self) -> int:
        return len(self.ids)

    def blocks(self) -> Iterator[Descriptors]:
        """Consecutive rows as float32 (n, D), about 64 MiB at a time."""
        num_rows = max(1, BLOCK_BYTES // (4 * self.num_dims))
        for part in self.parts:
            for start in range(0, len(part.ids), num_rows):
                try:
                    block = np.ascontiguousarray(part.vectors[start : start + num_rows], dtype=np.float32)
                except _DAMAGE as error:
                    raise _damaged(part.path, error) from error
                yield block

    def row(self, row: int) -> Descriptors:
        """One descriptor (D,)."""
        part, row = self._locate(row)
        return np.asarray(part.vectors[row], dtype=np.float32)

    def where(self, row: int) -> str:
        """File, row (from 0) and id, for a message."""
        part, row = self._locate(row)
        return f"{part.path} row {row} ('{part.ids[row]}')"

    def _locate(self, row: int) -> tuple[Part, int]:
        for part in self.parts:
            if row < len(part.ids):
                return part, row
            row -= len(part.ids)
        raise IndexError(row)


def read_descriptors(paths: Sequence[Path], side: Side) -> DescriptorSet:
    """Open one or more parts, or one side of a submission, and check every id and every descriptor.

    Raises:
        InputError: no such file, not HDF5 or cut short, a dataset missing or of another shape, dimensions that differ
            between parts, an id twice, a submission's ids unsorted or over 256 dimensions, or a descriptor that is not
            finite or not of unit length. The file and, where there is one, the row are named.
    """
    parts = tuple(_open_part(path, side) for path in paths)
    for part in parts:
        if part.vectors.shape[1] != parts[0].vectors.shape[1]:
            raise InputError(
                f"{part.path} has {part.vectors.shape[1]} dimensions, {parts[0].path} {parts[0].vectors.shape[1]}; "
                "embed all parts alike"
            )
    found = DescriptorSet(parts, np.concatenate([part.ids for part in parts]))
    _check_ids_once(found)
    _check_unit(found)
    return found


def _open_part(path: Path, side: Side) -> Part:
    import h5py

    if not path.is_file():
        raise InputError(f"no file {path}; give HDF5 descriptors")
    try:
        file = h5py.File(path, "r")
        submission = "vectors" not in file
        names = (side, f"{side}_ids") if submission else ("vectors", "image_names")
        for name in names:
            if not isinstance(file.get(name), h5py.Dataset):
                raise InputError(f"{path} has no '{name}', only {', '.join(sorted(file)) or 'nothing'}; see --help")
        if h5py.check_string_dtype(file[names[1]].dtype) is None:
            raise InputError(f"{path}: '{names[1]}' needs strings, got {file[names[1]].dtype}; write the ids as text")
        vectors, ids = file[names[0]], _read_ids(file[names[1]])
        if vectors.ndim != 2 or vectors.dtype.kind != "f" or 0 in vectors.shape or ids.shape != vectors.shape[:1]:
            raise InputError(
                f"{path}: '{names[0]}' needs floats (N, D) and '{names[1]}' N ids, "
                f"got {vectors.dtype} {vectors.shape} and {ids.shape}"
            )
        if submission:
            _check_submission(path, vectors.shape[1], ids)
        return Part(path, _mapped(path, file, vectors), ids)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _read_ids(dataset: Any) -> Ids:
    """(N,) ids; of a path, as isc2021 writes them (`queries/Q00000.jpg`), the file name without its suffix."""
    values = dataset[...].reshape(-1).tolist()
    names = (value.decode() if isinstance(value, bytes) else str(value) for value in values)
    return np.array([_id_of(name) for name in names], dtype=np.str_)


def _id_of(name: str) -> str:
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return stem if f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def _mapped(path: Path, file: Any, vectors: Any) -> Any:
    """A memory map where the values lie in one piece as float32; else the dataset, which reads what is asked for."""
    offset = vectors.id.get_offset()
    if offset is None or vectors.dtype != np.dtype("<f4") or file.userblock_size:
        return vectors
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=vectors.shape)


def _check_submission(path: Path, num_dims: int, ids: Ids) -> None:
    if num_dims > MAX_SUBMISSION_DIMS:
        raise InputError(f"{path} has {num_dims} dimensions; a submission has at most {MAX_SUBMISSION_DIMS}")
    falls = np.flatnonzero(ids[1:] < ids[:-1])
    if len(falls):
        row = int(falls[0]) + 1
        raise InputError(f"{path} row {row}: '{ids[row]}' comes after '{ids[row - 1]}'; a submission's ids are sorted")


def _check_ids_once(found: DescriptorSet) -> None:
    order = np.argsort(found.ids, kind="stable")
    in_order = found.ids[order]
    repeated = np.flatnonzero(in_order[1:] == in_order[:-1])
    if len(repeated):
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise InputError(f"{found.where(int(second))} has the id of {found.where(int(first))}; each may come once")


def _check_unit(found: DescriptorSet) -> None:
    start = 0
    for block in found.blocks():
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64))
        bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if len(bad):
            where, length = found.where(start + int(bad[0])), lengths[bad[0]]
            if not np.isfinite(length):
                raise InputError(f"{where} is not finite; embed that image again, or leave it out")
            raise InputError(f"{where} has length {length:.4g} where 1 is needed; L2-normalise the descriptors")
        start += len(block)


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path} is not HDF5 or is cut short ({reason}); write it again")


def write_descriptors(path: Path, vectors: Descriptors, ids: Sequence[str]) -> None:
    """Write a part, whole or not at all: `vectors` (N, D) and N ids."""
    _write(path, {"vectors": vectors, "image_names": ids})


def write_descriptor_blocks(path: Path, blocks: Iterable[Descriptors], num_dims: int, ids: Sequence[str]) -> None:
    """`write_descriptors` of N ids' rows that come in blocks (n, D), one in memory at a time."""

    def write(file: Any) -> None:
        vectors = file.create_dataset("vectors", (len(ids), num_dims), dtype="<f4")
        start = 0
        for block in blocks:
            vectors[start : start + len(block)] = block
            start += len(block)
        file.create_dataset("image_names", data=_as_bytes(ids))

    _write_file(path, write)


def write_submission(
    path: Path, queries: Descriptors, query_ids: Sequence[str], references: Descriptors, reference_ids: Sequence[str]
) -> None:
    """Write both sides in one file, whole or not at all, each side sorted by id as the challenge wants it."""
    by_name: dict[str, Any] = {}
    for side, vectors, ids in (("query", queries, query_ids), ("reference", references, reference_ids)):
        order = np.argsort(np.array(ids))
        by_name |= {side: vectors[order], f"{side}_ids": [ids[index] for index in order]}
    _write(path, by_name)


def _write(path: Path, by_name: dict[str, Any]) -> None:
    def write(file: Any) -> None:
        for name, values in by_name.items():
            is_vectors = isinstance(values, np.ndarray)
            file.create_dataset(name, data=values.astype("<f4") if is_vectors else _as_bytes(values))

    _write_file(path, write)


def _as_bytes(ids: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([text.encode() for text in ids], dtype=np.bytes_)


def _write_file(path: Path, write: Callable[[Any], None]) -> None:
    import h5py

    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        write(file)
