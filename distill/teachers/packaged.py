"""Weights that an installed package carries: used where they lie, never copied or changed. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from icd_mobile.errors import OutsideError


@dataclass(frozen=True)
class PackagedFile:
    """One file of a distribution."""

    requirement: str  # as pip takes it
    module: str  # what it installs
    pattern: str  # of the file's path below the module's folder
    pip_options: str = ""

    @property
    def install(self) -> str:
        """The command that brings it."""
        return " ".join(filter(None, ["pip install", self.pip_options, self.requirement]))

    def find(self) -> Path | None:
        """Where it is, without importing the package; None where it is not installed, or has no such file."""
        found = importlib.util.find_spec(self.module)
        places = found.submodule_search_locations if found else None
        files = sorted(Path(next(iter(places))).glob(self.pattern)) if places else []
        return files[0] if len(files) == 1 else None

    def path(self, what: str) -> Path:
        """Where it is.

        Raises:
            OutsideError: it is not here, and the command that brings it.
        """
        found = self.find()
        if found is None:
            raise OutsideError(f"{what} comes from a package that is not here: {self.install}")
        return found
