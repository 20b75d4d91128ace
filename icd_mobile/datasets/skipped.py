"""The images of a dataset that could not be read: row, path and reason, as a CSV beside their descriptors."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from icd_mobile.datasets.csv_files import read_csv
from icd_mobile.errors import InputError
from icd_mobile.files import write_synced

SKIPPED_NAME = "skipped.csv"
COLUMNS = ("row", "image", "reason")
MAX_REASON_CHARS = 200


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read: its row among the descriptors, its path inside the dataset, and why."""

    row: int
    image: str
    reason: str


def write_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    """Write whole or not at all; a reason is one line and at most 200 characters."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.row, row.image, " ".join(row.reason.split())[:MAX_REASON_CHARS]) for row in skipped)
    content = text.getvalue().encode(errors="backslashreplace")  # file names need not be text
    write_synced(path, lambda file: file.write(content))


def read_skipped(path: Path) -> tuple[Skipped, ...]:
    """What `write_skipped` wrote; nothing where there is no file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return ()
    try:
        return tuple(Skipped(int(row["row"]), row["image"], row["reason"]) for row in read_csv(path, COLUMNS))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); delete its folder and run the same command again") from error
