"""The columns of the main table: what of a row is shown, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.records.rows import Row, interval, number, with_evidence
from icd_mobile.evidence import NOT_MEASURED


@dataclass(frozen=True)
class Column:
    """A column as people read it: a short title, its unit, and how a row's value is written."""

    title: str
    unit: str
    text: Callable[[Row], str]
    numeric: bool = True
    in_terminal: bool = True  # narrow enough to keep where 80 characters are all there is
    optional: bool = False  # left out where no row has a figure: most datasets and runs have none
    interval: Callable[[Row], str] | None = None  # of 95 %, to stand beside the figure or below it


def _accuracy(row: Row, value: float | None) -> str:
    """A figure made of the artifact's descriptors, and their evidence where they were not measured."""
    return with_evidence(number(value, ".3f"), row.accuracy_evidence if value is not None else None)


def _milliseconds(value: float | None) -> str:
    return number(value, ".0f" if value is not None and value >= 100 else ".2f" if value and value < 10 else ".1f")


def _megabytes(value: int | None) -> str:
    return number(None if value is None else value / 1e6, ".1f")


def _parity(row: Row) -> str:
    if row.is_baseline:
        return "the checkpoint"
    if row.parity_cosine_min is None:
        return NOT_MEASURED
    # Rounded down: 0.99989 must not read as the bar of 0.9999.
    text = f"{int(row.parity_cosine_min * 1e6) / 1e6:.6f}"
    return with_evidence(text, row.parity_evidence)


def _threshold(row: Row) -> str:
    return (
        "never reached"
        if row.micro_ap is not None and row.threshold_at_p90 is None
        else _accuracy(row, row.threshold_at_p90)
    )


def _retention(row: Row) -> str:
    return "baseline" if row.is_baseline else _accuracy(row, row.retention)


def _teacher_retention(row: Row) -> str:
    return "teacher" if row.is_teacher else _accuracy(row, row.teacher_retention)


COLUMNS = (
    Column("target", "", lambda row: row.target, numeric=False, in_terminal=False),
    Column("precision", "", lambda row: row.marked_precision, numeric=False, in_terminal=False),
    Column("state", "", lambda row: row.state, numeric=False),
    Column("size", "MB", lambda row: _megabytes(row.model_bytes)),
    Column("load", "ms", lambda row: _milliseconds(row.load_ms), in_terminal=False),
    Column("first", "ms", lambda row: _milliseconds(row.first_inference_ms), in_terminal=False),
    Column("p50", "ms", lambda row: _milliseconds(row.p50_ms)),
    Column("p90", "ms", lambda row: _milliseconds(row.p90_ms), in_terminal=False),
    Column("p99", "ms", lambda row: _milliseconds(row.p99_ms)),
    Column("peak memory", "MB", lambda row: _megabytes(row.peak_memory_bytes)),
    Column("of it the model", "MB", lambda row: _megabytes(row.delta_memory_bytes), in_terminal=False),
    Column(
        "micro-AP",
        "",
        lambda row: _accuracy(row, row.micro_ap),
        interval=lambda row: interval(row.micro_ap_low, row.micro_ap_high),
    ),
    Column(
        "micro-AP with SN",
        "",
        lambda row: _accuracy(row, row.normalized_micro_ap),
        optional=True,
        interval=lambda row: interval(row.normalized_micro_ap_low, row.normalized_micro_ap_high),
    ),
    Column("retention", "", _retention),
    Column("of the teacher", "", _teacher_retention, optional=True),
    Column("recall@P90", "", lambda row: _accuracy(row, row.recall_at_p90), in_terminal=False),
    Column("threshold@P90", "", _threshold, in_terminal=False),
    Column("parity cosine, min", "", _parity, in_terminal=False),
)


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """The columns that a table of these rows has."""
    return [
        column for column in COLUMNS if not column.optional or any(column.text(row) != NOT_MEASURED for row in rows)
    ]
