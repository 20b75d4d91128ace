"""The figures of Copydays as a table of the report: a line for each block and pooled figure, a column an artifact."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.record import Record
from bench.records.rows import Row, number
from bench.report.details import TextTable
from icd_mobile.datasets.copydays import BLOCKS
from icd_mobile.retrieval.copydays import CANDIDATES_PER_QUERY

TITLE = "Copydays"
EXPLANATION = (
    f"mAP of each block by the trapezoid rule, {CANDIDATES_PER_QUERY} candidates a query; strong is the headline. The "
    "pooled micro-AP is given for the copies alone, and with the originals as queries too, which find themselves; "
    "SSCD's evaluator takes the latter, by trapezoids."
)


def copydays_table(records: Sequence[Record], rows: Sequence[Row]) -> TextTable:
    """Without lines where no record, of those with these rows, was judged on Copydays."""
    judged = [
        (row.judged_label, record.accuracy.copydays)
        for record, row in zip(records, rows, strict=True)
        if record.accuracy and record.accuracy.copydays
    ]
    figures = [(f"mAP {block}", [found.mean_ap.get(block) for _, found in judged]) for block in BLOCKS]
    figures += [
        (title, [getattr(found, name) for _, found in judged])
        for title, name in (
            ("micro-AP, copies alone", "micro_ap_copies"),
            ("micro-AP, originals too", "micro_ap_with_originals"),
            ("the same, as SSCD takes it", "micro_ap_sscd"),
        )
    ]
    lines = tuple((title, *(number(value, ".3f") for value in values)) for title, values in figures if values)
    return TextTable(TITLE, EXPLANATION, ("figure, measured", *(label for label, _ in judged)), lines, num_words=1)
