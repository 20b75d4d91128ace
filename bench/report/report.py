"""From a folder of records to a report for each device: HTML that stands alone, Markdown and CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import StringIO
from itertools import groupby
from pathlib import Path

from bench.records.compatibility import Cell, Compatibility, merged, read_matrices
from bench.records.examples import read_examples
from bench.records.record import Record
from bench.records.record_files import read_records
from bench.records.rows import Row, make_row, make_rows
from bench.records.setting import Setting, common_setting
from bench.report.copydays_table import copydays_table
from bench.report.details import (
    TextTable,
    compatibility_table,
    describe_matrix,
    detection_table,
    stability_table,
    structure_table,
)
from bench.report.page import render_page
from bench.report.precisions import PrecisionChoice, choose_precisions
from bench.report.recommend import recommend
from bench.report.table import Column, columns_of
from bench.report.words import LEGEND, describe_device, describe_run, describe_worst, notes_by_text
from icd_mobile.errors import InputError
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.files import write_whole


@dataclass(frozen=True)
class Report:
    """Where the report of a device was written, and its conclusion."""

    device: str
    html_path: Path
    markdown_path: Path
    csv_path: Path
    compatibility_path: Path | None  # CSV of every pair; None where nothing was crossed
    recommendation: str
    precisions: tuple[PrecisionChoice, ...]


def write_reports(records_dir: Path, out_dir: Path) -> list[Report]:
    """One report for each device that has records.

    Raises:
        InputError: no records, a damaged one, or a folder that cannot be written.
    """
    records, matrices = read_records(records_dir), read_matrices(records_dir)
    return [
        _write(device, list(group), matrices, records_dir, out_dir)
        for device, group in groupby(records, key=lambda record: record.device.name)
    ]


def _write(
    device: str, records: list[Record], matrices: Sequence[Compatibility], records_dir: Path, out_dir: Path
) -> Report:
    ordered = sorted(records, key=_reading_order)
    setting = common_setting(ordered)
    dataset = setting.accuracy.dataset_sha256 if setting.accuracy else ""
    matrix = _matrix_of(ordered, setting, matrices)
    report = Report(
        device=device,
        html_path=out_dir / f"{device}.html",
        markdown_path=out_dir / f"{device}.md",
        csv_path=out_dir / f"{device}.csv",
        compatibility_path=out_dir / f"{device}.compatibility.csv" if matrix else None,
        recommendation=recommend(setting.alike(ordered)).sentence,
        precisions=tuple(choose_precisions(setting.alike(ordered))),
    )
    try:
        write_whole(report.html_path, render_page(ordered, read_examples(records_dir, dataset), matrix))
        write_whole(report.markdown_path, render_markdown(ordered, matrix))
        write_whole(report.csv_path, render_csv(make_rows(ordered, setting)))
        if matrix is not None and report.compatibility_path is not None:
            write_whole(report.compatibility_path, render_compatibility_csv(matrix))
    except OSError as error:
        raise InputError(f"cannot write the report in {out_dir} ({error.strerror}); choose another --out") from error
    return report


def _reading_order(record: Record) -> tuple[bool, bool, float, str]:
    """The baseline, the teacher, then the fastest first, then what was not timed."""
    row = make_row(record)
    return not row.is_baseline, not row.is_teacher, math.inf if row.p50_ms is None else row.p50_ms, row.name


def _matrix_of(records: Sequence[Record], setting: Setting, matrices: Sequence[Compatibility]) -> Compatibility | None:
    """What was crossed on the report's device and dataset, the artifacts in the order of its rows."""
    if setting.accuracy is None:
        return None
    found = merged(
        matrix
        for matrix in matrices
        if matrix.device == setting.device and matrix.dataset_sha256 == setting.accuracy.dataset_sha256
    )
    return None if found is None else found.restricted([record.artifact.model_sha256 for record in records])


def render_markdown(records: Sequence[Record], matrix: Compatibility | None = None) -> str:
    """The report as Markdown: device, conclusion, tables, notes and legend."""
    setting = common_setting(records)
    rows = make_rows(records, setting)
    columns = columns_of(rows)
    titles = [f"{column.title} ({column.unit})" if column.unit else column.title for column in columns]
    lines = [
        f"# icd-mobile on {setting.device.name}",
        "",
        *(f"- {title}: {text}" for title, text in describe_device(setting.device)),
        *(f"- {title}: {text}" for title, text in describe_run(records)),
        "",
        f"**Recommended on this device.** {recommend(setting.alike(records)).sentence}",
        "",
        *(f"- {choice.sentence}" for choice in choose_precisions(setting.alike(records))),
        "",
        _markdown_row(titles),
        _markdown_row(["---:" if column.numeric else "---" for column in columns]),
        *(_markdown_row([_text(column, row) for column in columns]) for row in rows),
        "",
        *(f"- {who}: {note}" for who, note in notes_by_text(rows)),
        "",
        *_markdown_table(copydays_table(records, rows)),
        *_markdown_table(detection_table(records, rows)),
        *_markdown_table(stability_table(records, rows)),
        *_markdown_table(structure_table(records, rows)),
        *_markdown_matrix(matrix),
        *(f"- {line}" for line in LEGEND),
        "",
    ]
    return "\n".join(lines)


def _text(column: Column, row: Row) -> str:
    between = column.interval(row) if column.interval else ""
    return f"{column.text(row)} ({between})" if between else column.text(row)


def _markdown_table(table: TextTable) -> list[str]:
    if not table.rows:
        return []
    return [
        f"## {table.title}",
        "",
        *([table.intro, ""] if table.intro else []),
        _markdown_row(table.head),
        _markdown_row(["---" if index < table.num_words else "---:" for index in range(len(table.head))]),
        *(_markdown_row(row) for row in table.rows),
        "",
        *(f"- {note}" for note in table.notes),
        "",
    ]


def _markdown_matrix(matrix: Compatibility | None) -> list[str]:
    if matrix is None or matrix.worst is None:
        return ["## Compatibility", "", f"{NOT_MEASURED}: no two artifacts were judged in one run.", ""]
    head = ["## Compatibility", "", describe_matrix(matrix), "", describe_worst(matrix), ""]
    return [*head, *_markdown_table(compatibility_table(matrix))]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def render_csv(rows: Sequence[Row]) -> str:
    """Unrounded figures, one row an artifact."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    for row in rows:
        values = {name: getattr(row, name) for name in names} | {"notes": "; ".join(row.notes)}
        writer.writerow([NOT_MEASURED if values[name] is None else values[name] for name in names])
    return text.getvalue()


def render_compatibility_csv(matrix: Compatibility) -> str:
    """Unrounded figures, one row a pair."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = [name for name in Cell.model_fields if name not in {"index", "queries"}]
    writer.writerow(["index", "queries", *measured, "micro_ap_gain", "threshold_shift"])
    for cell in matrix.cells:
        names = [matrix.member(member).name for member in (cell.index, cell.queries)]
        values = [getattr(cell, name) for name in measured] + [matrix.gain(cell), matrix.threshold_shift(cell)]
        writer.writerow([*names, *(NOT_MEASURED if value is None else value for value in values)])
    return text.getvalue()
