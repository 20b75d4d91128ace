"""CSV files of ids: read strictly, with the row named where one is wrong, and written whole or not at all.

Byte-order marks and CRLF are read as if they were not there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from icd_mobile.errors import InputError
from icd_mobile.files import whole_file

_CHALLENGE_QUERY = re.compile(r"Q\d{5}")


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


def id_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Row number, from 1, and fields of each row but the header, which a file that begins with a challenge id may lack.

    Raises:
        InputError: no such file, not CSV in UTF-8, another header, or a row of another width. The row is named.
    """
    if not path.is_file():
        raise InputError(f"no file {path}; give a CSV with the header '{','.join(columns)}'")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            has_header = tuple(header) == columns
            if not has_header and not (header and _CHALLENGE_QUERY.fullmatch(header[0])):
                raise InputError(f"{path} row 1: needs the header '{','.join(columns)}', got '{','.join(header)}'")
            for fields in reader if has_header else chain([header], reader):
                if len(fields) != len(columns):
                    raise InputError(f"{path} row {reader.line_num}: needs {len(columns)} columns, got {len(fields)}")
                if any(field != field.strip() for field in fields):
                    raise InputError(f"{path} row {reader.line_num}: has spaces around a value; remove them")
                yield reader.line_num, fields
        except UnicodeDecodeError as error:
            raise InputError(f"{path} row {_first_undecodable(path)}: is not UTF-8 text; save it as CSV") from error
        except csv.Error as error:
            raise InputError(f"{path} row {reader.line_num}: {error}; save it as CSV") from error


def _first_undecodable(path: Path) -> int:
    """The row, from 1, that is not UTF-8: text is decoded a block at a time, so the reader does not know it."""
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return row
    raise AssertionError("every line of the file decodes")


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV with Unix line ends, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
