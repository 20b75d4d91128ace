"""From a folder of records to a report for each device: HTML that stands alone, Markdown and CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import StringIO
from itertools import groupby
from pathlib import Path

from bench.copydays_table import EXPLANATION, TITLE, copydays_table
from bench.examples import read_examples
from bench.files import write_whole
from bench.page import render_page
from bench.recommend import recommend
from bench.records import Record, read_records
from bench.setting import common_setting
from bench.table import COLUMNS, NOT_MEASURED, Row, make_row, make_rows
from bench.words import LEGEND, describe_device, describe_run, notes_by_text
from distill.errors import InputError


@dataclass(frozen=True)
class Report:
    """Where the report of a device was written, and its conclusion."""

    device: str
    html_path: Path
    markdown_path: Path
    csv_path: Path
    recommendation: str


def write_reports(records_dir: Path, out_dir: Path) -> list[Report]:
    """One report for each device that has records.

    Raises:
        InputError: no records, a damaged one, or a folder that cannot be written.
    """
    records = read_records(records_dir)
    return [
        _write(device, list(group), records_dir, out_dir)
        for device, group in groupby(records, key=lambda record: record.device.name)
    ]


def _write(device: str, records: list[Record], records_dir: Path, out_dir: Path) -> Report:
    ordered = sorted(records, key=_reading_order)
    setting = common_setting(ordered)
    dataset = setting.accuracy.dataset_sha256 if setting.accuracy else ""
    report = Report(
        device=device,
        html_path=out_dir / f"{device}.html",
        markdown_path=out_dir / f"{device}.md",
        csv_path=out_dir / f"{device}.csv",
        recommendation=recommend(setting.alike(ordered)).sentence,
    )
    try:
        write_whole(report.html_path, render_page(ordered, read_examples(records_dir, dataset)))
        write_whole(report.markdown_path, render_markdown(ordered))
        write_whole(report.csv_path, render_csv(make_rows(ordered, setting)))
    except OSError as error:
        raise InputError(f"cannot write the report in {out_dir} ({error.strerror}); choose another --out") from error
    return report


def _reading_order(record: Record) -> tuple[bool, float, str]:
    """The baseline, then the fastest first, then what was not timed."""
    row = make_row(record)
    return not row.is_baseline, math.inf if row.p50_ms is None else row.p50_ms, row.name


def render_markdown(records: Sequence[Record]) -> str:
    """The report as Markdown: device, conclusion, table, notes and legend."""
    setting = common_setting(records)
    rows = make_rows(records, setting)
    titles = [f"{column.title} ({column.unit})" if column.unit else column.title for column in COLUMNS]
    lines = [
        f"# icd-mobile on {setting.device.name}",
        "",
        *(f"- {title}: {text}" for title, text in describe_device(setting.device)),
        *(f"- {title}: {text}" for title, text in describe_run(records)),
        "",
        f"**Recommended on this device.** {recommend(setting.alike(records)).sentence}",
        "",
        _markdown_row(titles),
        _markdown_row(["---:" if column.numeric else "---" for column in COLUMNS]),
        *(_markdown_row([column.text(row) for column in COLUMNS]) for row in rows),
        "",
        *(f"- {who}: {note}" for who, note in notes_by_text(rows)),
        "",
        *_copydays(copydays_table(records, rows)),
        *(f"- {line}" for line in LEGEND),
        "",
    ]
    return "\n".join(lines)


def _copydays(table: list[list[str]]) -> list[str]:
    if not table:
        return []
    rule = _markdown_row(["---", *["---:"] * (len(table[0]) - 1)])
    lines = map(_markdown_row, table)
    return [f"## {TITLE}", "", EXPLANATION, "", next(lines), rule, *lines, ""]


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
