"""A head to head as people read it: a table of text, its lines of notes, and a picture that stands alone."""

from __future__ import annotations

from importlib.resources import files

from bench.records.rows import interval, number
from bench.report.scatter import scatter_chart
from bench.rivals.duel import HeadToHead
from bench.rivals.standing import Standing
from icd_mobile.evidence import NOT_MEASURED

BUSY_RATIO = 1.1  # p50 over the p50 of processor times
HEADERS = (
    "contender", "kind", "micro-AP", "95 %", "recall@P90", "behind the best small (95 %)", "p50 ms", "processor ms",
    "x first", "bytes", "MB", "evidence",
)  # fmt: skip


def cells(row: Standing) -> tuple[str, ...]:
    """One row of the table, as `HEADERS`."""
    if row.micro_ap is None:
        return (row.label, row.kind, *[""] * (len(HEADERS) - 3), NOT_MEASURED)
    behind = "the best small" if row.behind_best is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row.behind_best)
    return (
        row.label,
        row.kind,
        number(row.micro_ap, ".3f"),
        interval(row.micro_ap_low, row.micro_ap_high),
        number(row.recall_at_p90, ".3f"),
        behind,
        number(row.p50_ms, ".2f"),
        number(row.processor_p50_ms, ".2f"),
        number(row.of_first, ".2f"),
        number(row.descriptor_bytes, "d"),
        number(row.model_bytes / 1e6, ".1f") if row.model_bytes else "none",
        row.evidence,
    )


def notes(found: HeadToHead) -> list[str]:
    """What must be known beside the table."""
    timed: dict[str, list[str]] = {}
    for row in found.rows:
        if row.p50_ms is not None:
            timed.setdefault(row.timed, []).append(row.label)
    lines = [
        f"{found.dataset}: {found.num_queries:,} queries, {found.num_references:,} references, {found.num_pairs:,} "
        f"pairs; p50 of {found.num_rounds} rounds in turns, on one thread"
    ]
    lines += [f"p50 of {', '.join(names)}: {what}" for what, names in timed.items()]
    busy = [row.label for row in found.rows if (row.p50_ms or 0.0) > BUSY_RATIO * (row.processor_p50_ms or 0.0)]
    if busy:
        lines.append(
            f"the machine was busy: p50 of {', '.join(busy)} is over {BUSY_RATIO:g} times the processor's own time; "
            "run again when it is idle, or compare the processor's times"
        )
    lines += [f"{row.name}: {row.note}" for row in found.rows if row.note]
    lines += [f"left out: {image}" for image in found.skipped]
    return lines


def markdown(found: HeadToHead) -> str:
    """The table and its notes, for a document."""
    table = [HEADERS, ("---",) * len(HEADERS), *map(cells, found.rows)]
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([*lines, "", *(f"- {line}" for line in notes(found)), ""])


def picture(found: HeadToHead) -> str:
    """micro-AP against p50 as an SVG file with its own colours; "" where nothing was both judged and timed."""
    chart = scatter_chart(found.rows)
    if not chart:
        return ""
    style = (files("bench.report") / "report.css").read_text(encoding="utf-8")
    own = "svg { background: var(--card); margin: 0; font-family: system-ui, sans-serif; }"
    title = f'<text class="axis" x="40" y="11">micro-AP against p50 in ms, one thread: {found.dataset}</text>'
    head, _, body = chart.partition(">")
    root = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{root}><style>{style}\n{own}</style>{title}{body}\n"
