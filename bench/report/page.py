"""The report as one HTML page that needs no network: style, charts and pictures are inside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from bench.records.compatibility import Compatibility
from bench.records.examples import Examples
from bench.records.record import Record
from bench.records.rows import BLIND, Row, make_rows
from bench.records.setting import common_setting
from bench.report.charts import latency_chart, trace_chart
from bench.report.copydays_table import copydays_table
from bench.report.details import (
    TextTable,
    compatibility_table,
    describe_matrix,
    detection_table,
    stability_table,
    structure_table,
)
from bench.report.heatmap import first_answer_heatmap, micro_ap_heatmap
from bench.report.precisions import PrecisionChoice, choose_precisions
from bench.report.recommend import Recommendation, recommend
from bench.report.scatter import scatter_chart
from bench.report.table import Column, columns_of
from bench.report.words import LEGEND, describe_device, describe_run, describe_worst, notes_by_text
from icd_mobile.evidence import NOT_MEASURED

_STATE_CLASSES = {"ok": "state", "exported but failed its check": "state unchecked", "failed": "state failed"}
_LONG_FACT = 80  # characters; a longer one takes a line of its own


def render_page(records: Sequence[Record], examples: Examples | None, matrix: Compatibility | None = None) -> str:
    """The whole page for the records of one device, with the matrix of its artifacts where there is one."""
    setting = common_setting(records)
    rows = make_rows(records, setting)
    chosen = recommend(setting.alike(records))
    device = escape(setting.device.name)
    sections = [
        f"<h1>Copy detection on {device}</h1>",
        _facts(describe_device(setting.device) + describe_run(records)),
        _answer(chosen),
        _precisions(choose_precisions(setting.alike(records))),
        "<h2>Artifacts</h2>",
        _table(records, rows, chosen),
        _notes(rows),
        _details(copydays_table(records, rows)),
        "<h2>Cost and detection</h2>",
        _charts(rows),
        _details(detection_table(records, rows)),
        _details(stability_table(records, rows)),
        _details(structure_table(records, rows)),
        _compatibility(matrix),
        "<h2>Latency over time</h2>",
        "<p class='soft'>Every inference in order, from zero to the slowest; the dashed line is the median.</p>",
        _traces(records, rows),
        _examples(examples),
        "<h2>How to read this</h2>",
        f"<ul class='soft'>{''.join(f'<li>{_bold(line)}</li>' for line in LEGEND)}</ul>",
    ]
    style = (files("bench.report") / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>icd-mobile on {device}</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _bold(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text, quote=False))


def _facts(items: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f"<div class='{'wide' if len(text) > _LONG_FACT else ''}'><dt>{escape(title)}</dt><dd>{escape(text)}</dd></div>"
        for title, text in items
    )
    return f"<dl class='facts'>{cells}</dl>"


def _answer(chosen: Recommendation) -> str:
    kind = "answer" if chosen.record else "answer none"
    return f"<div class='{kind}'><b>Recommended on this device</b>{escape(chosen.sentence)}</div>"


def _precisions(choices: Sequence[PrecisionChoice]) -> str:
    items = "".join(f"<li>{escape(choice.sentence)}</li>" for choice in choices)
    return f"<h2>Recommended precisions</h2><ul class='soft'>{items}</ul>" if items else ""


def _table(records: Sequence[Record], rows: Sequence[Row], chosen: Recommendation) -> str:
    columns = columns_of(rows)
    head = "".join(
        f"<th class='{'number' if column.numeric else ''}'>{escape(column.title)}<small>{column.unit}</small></th>"
        for column in columns
    )
    body = "".join(
        f"<tr class='{'chosen' if record is chosen.record else ''}'>{_cells(row, columns)}</tr>"
        for record, row in zip(records, rows, strict=True)
    )
    return f"<div class='card table'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cells(row: Row, columns: Sequence[Column]) -> str:
    cells = []
    for column in columns:
        text = escape(column.text(row))
        title = f"{column.title}, {column.unit}" if column.unit else column.title
        if column.title == "state":
            text = f"<span class='{_STATE_CLASSES[row.state]}'>{text}</span>"
        classes = ("number " if column.numeric else "") + ("absent" if text == NOT_MEASURED else "")
        if column.interval and (between := column.interval(row)):
            text += f"<small>{between}</small>"
        cells.append(f"<td class='{classes}' data-title='{escape(title)}'>{text}</td>")
    return "".join(cells)


def _notes(rows: Sequence[Row]) -> str:
    items = "".join(
        f"<li class='{'failure' if note == BLIND else ''}'><b>{escape(who)}</b>: {escape(note)}</li>"
        for who, note in notes_by_text(rows)
    )
    return f"<ul class='soft'>{items}</ul>" if items else ""


def _charts(rows: Sequence[Row]) -> str:
    figures = (
        ("Latency", "bar to p50, whisker to p90 and p99, in ms; fastest first", latency_chart(rows)),
        (
            "Detection against speed",
            "micro-AP over p50 in ms; dot area is file size, lines are 95 % intervals, dashed is the baseline",
            scatter_chart(rows),
        ),
    )
    return f"<div class='charts'>{''.join(_figure(*figure) for figure in figures)}</div>"


def _details(table: TextTable) -> str:
    if not table.rows:
        return ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f"<h2>{escape(table.title)}</h2><p class='soft'>{escape(table.intro)}</p>{_text_table(table)}"
        f"{f'<ul class=soft>{notes}</ul>' if notes else ''}"
    )


def _text_table(table: TextTable) -> str:
    classes = ["" if index < table.num_words else "number" for index in range(len(table.head))]
    head = "".join(f"<th class='{kind}'>{escape(title)}</th>" for title, kind in zip(table.head, classes, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{_kind(kind, text)}' data-title='{escape(title)}'>{escape(text)}</td>"
            for title, kind, text in zip(table.head, classes, row, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<div class='card table'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _kind(kind: str, text: str) -> str:
    if text.startswith("FAILED"):
        return f"{kind} failure"
    return f"{kind} absent" if text == NOT_MEASURED else kind


def _compatibility(matrix: Compatibility | None) -> str:
    if matrix is None or matrix.worst is None:
        return f"<h2>Compatibility</h2><p class='soft'>{NOT_MEASURED}: no two artifacts were judged in one run.</p>"
    figures = (
        ("micro-AP", "the darker, the more it loses against the index's own queries", micro_ap_heatmap(matrix)),
        ("First answers changed", "% of all queries, also those without a match", first_answer_heatmap(matrix)),
    )
    return (
        f"<h2>Compatibility</h2><p class='soft'>{escape(describe_matrix(matrix))}</p>"
        f"<p class='soft'>{escape(describe_worst(matrix))}</p>"
        f"<div class='charts heats'>{''.join(_figure(*figure) for figure in figures)}</div>"
        f"<details><summary>Every pair: micro-AP, cosines, thresholds</summary>"
        f"{_text_table(compatibility_table(matrix))}</details>"
    )


def _traces(records: Sequence[Record], rows: Sequence[Row]) -> str:
    figures = "".join(
        _figure(
            row.label,
            f"up to {max(record.latency.samples_ns) / 1e6:.1f} ms",
            trace_chart(record.latency.samples_ns),
        )
        for record, row in zip(records, rows, strict=True)
        if record.latency
    )
    return f"<div class='traces'>{figures}</div>"


def _figure(title: str, caption: str, picture: str) -> str:
    return (
        f"<figure class='card'><figcaption><b>{escape(title)}</b> &nbsp;{escape(caption)}</figcaption>"
        f"{picture or f'<p class=absent>{NOT_MEASURED}</p>'}</figure>"
    )


def _examples(examples: Examples | None) -> str:
    if examples is None:
        return ""
    pairs = "".join(
        "<figure class='card'><div class='pair'>"
        f"<img alt='query' src='data:image/jpeg;base64,{pair.query_jpeg}'>"
        f"<img alt='reference' src='data:image/jpeg;base64,{pair.reference_jpeg}'></div>"
        f"<figcaption>{escape(pair.caption)}</figcaption></figure>"
        for pair in examples.pairs
    )
    return (
        f"<h2>What was looked for</h2><p class='soft'>Some queries of {escape(examples.dataset)}, each beside the "
        f"reference to be found and named by its edits.</p><div class='examples'>{pairs}</div>"
    )
