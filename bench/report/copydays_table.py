"""The figures of Copydays as a table of the report: a line for each block and pooled figure, a column an artifact."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.record import Record
from bench.report.table import NOT_MEASURED, Row
from icd_mobile.datasets.copydays import BLOCKS
from icd_mobile.retrieval.copydays import CANDIDATES_PER_QUERY

TITLE = "Copydays"
EXPLANATION = (
    f"mAP of each block by the trapezoid rule, {CANDIDATES_PER_QUERY} candidates a query; strong is the headline. The "
    "pooled micro-AP is given for the copies alone, and with the originals as queries too, which find themselves; "
    "SSCD's evaluator takes the latter, by trapezoids."
)


def copydays_table(records: Sequence[Record], rows: Sequence[Row]) -> list[list[str]]:
    """Lines of cells, the head first; none where no record, of those with these rows, was judged on Copydays."""
    judged = [
        (row.judged_label, record.accuracy.copydays)
        for record, row in zip(records, rows, strict=True)
        if record.accuracy and record.accuracy.copydays
    ]
    if not judged:
        return []
    lines = [["figure, measured", *(label for label, _ in judged)]]
    for block in BLOCKS:
        values = [found.mean_ap.get(block) for _, found in judged]
        lines.append([f"mAP {block}", *(NOT_MEASURED if value is None else f"{value:.3f}" for value in values)])
    for title, name in (
        ("micro-AP, copies alone", "micro_ap_copies"),
        ("micro-AP, originals too", "micro_ap_with_originals"),
        ("the same, as SSCD takes it", "micro_ap_sscd"),
    ):
        lines.append([title, *(f"{getattr(found, name):.3f}" for _, found in judged)])
    return lines
