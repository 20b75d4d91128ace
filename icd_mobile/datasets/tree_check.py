"""What a dataset's tree has and lacks, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NUM_NAMED = 3


@dataclass(frozen=True)
class Part:
    """One part of a dataset: how much of it there should be and is, what is missing by name, and where to get it."""

    name: str
    num_expected: int  # 0: any number
    num_found: int
    is_needed: bool  # False: without it less is judged
    missing: str  # a few names, and how many more; empty where they cannot be known
    source: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return self.num_found >= self.num_expected


@dataclass(frozen=True)
class TreeCheck:
    """The parts of a dataset in a folder."""

    folder: Path
    parts: tuple[Part, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything that is needed is there."""
        return all(part.is_whole for part in self.parts if part.is_needed)


def few(names: Sequence[str], num_all: int | None = None) -> str:
    """The first names, and how many more there are, of `num_all` where not all are given."""
    more = (len(names) if num_all is None else num_all) - NUM_NAMED
    return ", ".join(names[:NUM_NAMED]) + (f" and {more:,} more" if more > 0 else "")
