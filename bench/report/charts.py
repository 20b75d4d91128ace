"""The report's charts as inline SVG. Colours come from the report's style sheet, so they follow dark mode.

Drawn 400 units wide, so that their text stays readable on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol

import numpy as np

from bench.records.rows import Row
from bench.report.axes import Axis, time_axis

WIDTH = 400.0
MAX_COLUMNS = 160  # of a latency trace; a longer run is drawn as the range of each stretch


class Marked(Protocol):
    """What colours a mark."""

    @property
    def target(self) -> str: ...
    @property
    def precision(self) -> str: ...


def latency_chart(rows: Sequence[Row]) -> str:
    """Bars to p50 with whiskers to p90 and p99, fastest first; "" where nothing was timed."""
    timed = sorted((row for row in rows if row.p50_ms), key=lambda row: row.p50_ms or 0.0)
    if not timed:
        return ""
    axis = time_axis([value for row in timed for value in (row.p50_ms, row.p99_ms) if value], 0.0, WIDTH)
    pitch = 38
    height = pitch * len(timed) + 24
    parts = [vertical_tick(axis, tick, 0, height - 20) for tick in axis.ticks()]
    parts += [_bar(row, axis, index * pitch) for index, row in enumerate(timed)]
    return svg(height, f"p50 with p90 and p99 of each artifact in ms, {axis.kind}", parts)


def _bar(row: Row, axis: Axis, top: float) -> str:
    p50, p90, p99 = (axis.at(value or 0.0) for value in (row.p50_ms, row.p90_ms, row.p99_ms))
    middle = top + 25
    return (
        f"<g><title>{escape(row.name)}: p50 {row.p50_ms:.2f}, p90 {row.p90_ms:.2f}, p99 {row.p99_ms:.2f} ms</title>"
        f'<rect class="{target_classes(row)}" x="0" y="{top + 18}" width="{p50:.1f}" height="14" rx="3"/>'
        f'<path class="whisker" d="M{p50:.1f} {middle}H{p99:.1f}M{p90:.1f} {middle - 4}v8M{p99:.1f} {middle - 6}v12"/>'
        f'<text class="name" x="0" y="{top + 12}">{escape(row.label)}</text>'
        f'<text class="value" x="{WIDTH:.0f}" y="{top + 12}">{row.p50_ms:.3g} ms</text></g>'
    )


def trace_chart(samples_ns: Sequence[int]) -> str:
    """Single latencies in the order they ran, from zero to the slowest, with a line at the median."""
    values = np.asarray(samples_ns, dtype=np.float64) / 1e6
    height = 64.0
    axis = Axis(0.0, float(values.max()), height, 2.0)
    stretches = np.array_split(values, min(MAX_COLUMNS, len(values)))
    step = WIDTH / len(stretches)
    path = "".join(
        f"M{(index + 0.5) * step:.1f} {axis.at(stretch.min()) + 0.8:.1f}V{axis.at(stretch.max()) - 0.8:.1f}"
        for index, stretch in enumerate(stretches)
    )
    middle = axis.at(float(np.median(values)))
    parts = [
        f'<path class="trace" d="{path}"/>',
        f'<line class="baseline" x1="0" x2="{WIDTH:.0f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
    ]
    return svg(height, f"latency of {len(values)} inferences in order, 0 to {values.max():.1f} ms", parts)


def vertical_tick(axis: Axis, tick: float, top: float, bottom: float) -> str:
    """A grid line and its value below."""
    x = axis.at(tick)
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
        f'<text class="tick" x="{min(max(x, 8.0), WIDTH - 8):.1f}" y="{bottom + 15:.1f}">{tick:g}</text>'
    )


def target_classes(row: Marked) -> str:
    """The style classes that colour a row's mark."""
    return f"target-{escape(row.target)} precision-{escape(row.precision)}"


def svg(height: float, label: str, parts: Sequence[str]) -> str:
    """One picture, described by `label` for those who cannot see it."""
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{body}</svg>'
