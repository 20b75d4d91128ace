"""What a dataset's tree has and lacks, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NUM_NAMED = 3


@dataclass(frozen=True)
class Part:
    """One part of a dataset: how much of it there should be and is, a few names that are missing, where to get it."""

    name: str
    num_expected: int
    num_found: int
    is_needed: bool  # False: without it less is judged
    first_missing: tuple[str, ...]
    source: str

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return self.num_found >= self.num_expected


@dataclass(frozen=True)
class TreeCheck:
    """The parts of a dataset in a folder."""

    dataset: str
    folder: Path
    parts: tuple[Part, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything that is needed is there."""
        return all(part.is_whole for part in self.parts if part.is_needed)


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NUM_NAMED
    return ", ".join(names[:NUM_NAMED]) + (f" and {more:,} more" if more > 0 else "")
