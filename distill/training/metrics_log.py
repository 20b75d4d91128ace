"""What a run logs: `metrics.csv`, appended as it goes and cut back when it resumes, and the same for TensorBoard."""

from __future__ import annotations

import csv
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = dict[str, float]


class MetricsLog:
    """Rows with known columns, `step` among them; a value that a row lacks is left empty."""

    def __init__(self, csv_path: Path, tensorboard_dir: Path, columns: tuple[str, ...], resume_step: int) -> None:
        """Keep the rows of steps up to `resume_step`, drop later ones: they will be trained and written again."""
        self._path, self._columns = csv_path, columns
        kept = [cells for cells in _cells(csv_path) if int(cells["step"]) <= resume_step] if csv_path.is_file() else []
        with whole_file(csv_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        self._tensorboard = _summary_writer(tensorboard_dir, resume_step)

    def write(self, row: Row) -> None:
        """Append one row."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)
        for name, value in row.items():
            if name != "step":
                self._tensorboard.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Flush what TensorBoard holds back."""
        self._tensorboard.close()


def _summary_writer(folder: Path, resume_step: int) -> SummaryWriter:
    # TensorBoard looks for this module to know that it is to do without TensorFlow, which takes seconds to import.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder, purge_step=resume_step + 1 if resume_step else None)


def read_metrics(path: Path) -> list[Row]:
    """Rows of a `metrics.csv`, empty cells left out; a last row that a kill cut short is dropped.

    Raises:
        InputError: no such file, or no column `step`.
    """
    return [{name: float(cell) for name, cell in cells.items() if cell} for cells in _cells(path)]


def _cells(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"no {path}; give a run's folder")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "step" not in (reader.fieldnames or ()):
            raise InputError(f"{path} has no column 'step'; it is not of a training run")
        return [cells for cells in reader if None not in cells.values()]
