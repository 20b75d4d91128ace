"""Whether one artifact's index answers another's queries: the figures of every pair, as one file for each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pydantic

from devices.base import DeviceFacts
from icd_mobile.errors import InputError
from icd_mobile.evidence import Evidence
from icd_mobile.files import write_result
from icd_mobile.strict import FileName, Sha256, Strict

COMPATIBILITY_SCHEMA_VERSION = 1  # 1: first
COMPATIBILITY_SUFFIX = ".compatibility.json"


class Member(Strict):
    """An artifact of the matrix."""

    name: FileName
    target: str
    precision: str
    model_sha256: Sha256
    evidence: Evidence = "measured"  # of its descriptors


class Cell(Strict):
    """Queries embedded by one artifact, searched among references embedded by another; both by their model's hash."""

    index: Sha256
    queries: Sha256
    micro_ap: float
    micro_ap_low: float  # of its 95 % interval over the queries
    micro_ap_high: float
    threshold_at_p90: float | None
    cosine_p1: float  # between both artifacts' descriptors of the same image, over the images searched
    cosine_p50: float
    top1_changed: float  # share of the queries whose first answer is another than with the index's own queries


class Compatibility(Strict):
    """The whole of a file. `sampled`: the dataset is larger than what was searched."""

    schema_version: int = COMPATIBILITY_SCHEMA_VERSION
    kind: Literal["icd-mobile compatibility"] = "icd-mobile compatibility"
    evidence: Evidence = "measured"
    created_utc: str
    device: DeviceFacts
    dataset: str
    dataset_sha256: Sha256
    num_queries: int
    num_references: int
    sampled: bool
    members: tuple[Member, ...]
    cells: tuple[Cell, ...]

    @property
    def by_pair(self) -> dict[tuple[str, str], Cell]:
        """(index, queries) to its cell."""
        return {(cell.index, cell.queries): cell for cell in self.cells}

    @property
    def labels(self) -> dict[str, str]:
        """Hash to target and precision, numbered from the second of both on, as the report numbers its rows; and where
        an artifact's descriptors are not measured, what they are.
        """
        kinds = [(member.target, member.precision) for member in self.members]
        labels = {}
        for index, member in enumerate(self.members):
            repeat = 1 + kinds[:index].count(kinds[index])
            number = "" if repeat == 1 else f" ({repeat})"
            evidence = "" if member.evidence == "measured" else f" ({member.evidence})"
            labels[member.model_sha256] = f"{member.target} {member.precision}{number}{evidence}"
        return labels

    @property
    def worst(self) -> Cell | None:
        """The cell that loses most micro-AP against its index's own queries; None where nothing was crossed."""
        crossed = [cell for cell in self.cells if cell.index != cell.queries]
        return min(crossed, key=self.gain, default=None)

    def gain(self, cell: Cell) -> float:
        """micro-AP of a cell minus that of its index with its own queries."""
        return cell.micro_ap - self.by_pair[cell.index, cell.index].micro_ap

    def threshold_shift(self, cell: Cell) -> float | None:
        """threshold@P90 of a cell minus that of its index with its own queries; None where either is not reached."""
        own = self.by_pair[cell.index, cell.index].threshold_at_p90
        return None if own is None or cell.threshold_at_p90 is None else cell.threshold_at_p90 - own

    def restricted(self, hashes: Sequence[str]) -> Compatibility | None:
        """With these artifacts alone, in this order; None where fewer than two of them are here."""
        known = {member.model_sha256: member for member in self.members}
        kept = {one: known[one] for one in hashes if one in known}
        cells = tuple(cell for cell in self.cells if cell.index in kept and cell.queries in kept)
        return self.model_copy(update={"members": tuple(kept.values()), "cells": cells}) if len(kept) > 1 else None

    def member(self, model_sha256: str) -> Member:
        """By hash."""
        return next(member for member in self.members if member.model_sha256 == model_sha256)


def write_compatibility(found: Compatibility, folder: Path) -> Path:
    """Write whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written.
    """
    return write_result(folder, found.device.name, found.created_utc, COMPATIBILITY_SUFFIX, found.model_dump_json())


def read_compatibility(path: Path) -> Compatibility:
    """A matrix from its file.

    Raises:
        InputError: missing, damaged, foreign, or of a newer schema.
    """
    try:
        return Compatibility.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error}); check the path") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path} is no compatibility matrix of this version ({where}: {first['msg']}); delete it and run "
            "`python -m bench run` again"
        ) from error


def merged(matrices: Iterable[Compatibility]) -> Compatibility | None:
    """Matrices of one device, dataset and choice of images as one, the newest figures of each pair; None for none.

    Where they searched different numbers of images, the newest says which are kept.
    """
    newest_first = sorted(matrices, key=lambda found: found.created_utc, reverse=True)
    if not newest_first:
        return None
    newest = newest_first[0]
    alike = [found for found in newest_first if _searched(found) == _searched(newest)]
    members: dict[str, Member] = {}
    cells: dict[tuple[str, str], Cell] = {}
    for found in alike:
        for member in found.members:
            members.setdefault(member.model_sha256, member)
        for pair, cell in found.by_pair.items():
            cells.setdefault(pair, cell)
    return newest.model_copy(update={"members": tuple(members.values()), "cells": tuple(cells.values())})


def _searched(found: Compatibility) -> tuple[object, ...]:
    return found.device, found.dataset_sha256, found.num_queries, found.num_references


def read_matrices(folder: Path) -> Sequence[Compatibility]:
    """Every matrix in a folder of records.

    Raises:
        InputError: one that cannot be read.
    """
    return [read_compatibility(path) for path in sorted(folder.glob(f"*{COMPATIBILITY_SUFFIX}"))]
