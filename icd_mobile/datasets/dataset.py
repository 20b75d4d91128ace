"""A dataset to judge copies on: references, queries and the pairs that match. `datasets.read` reads one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icd_mobile.arrays import Ints
from icd_mobile.datasets.image_paths import JoinedPaths


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


def content_sha256(folder: Path, paths: list[Path]) -> str:
    """sha256 over the names below the folder, and the bytes, of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash}\n".encode())
    return digest.hexdigest()
