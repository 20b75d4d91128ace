"""The report's chart of detection against speed: micro-AP over p50, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from bench.report.axes import Axis, time_axis
from bench.report.charts import WIDTH, Marked, svg, target_classes, vertical_tick

_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, WIDTH - 12, 14.0, 286.0
_MAX_RADIUS, _MIN_RADIUS = 10.0, 3.5
_LOG_FROM_RATIO = 3.0  # dots need their distance; bars, which start at zero, a linear axis
_LABEL_HEIGHT, _CHARACTER_WIDTH = 13.0, 6.2


class Plotted(Marked, Protocol):
    """What of a row is drawn; None is "not measured"."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def is_baseline(self) -> bool: ...
    @property
    def model_bytes(self) -> int: ...
    @property
    def p50_ms(self) -> float | None: ...
    @property
    def micro_ap(self) -> float | None: ...
    @property
    def micro_ap_low(self) -> float | None: ...
    @property
    def micro_ap_high(self) -> float | None: ...


@dataclass(frozen=True)
class _Point:
    """A judged and timed row in the chart's coordinates."""

    row: Plotted
    x: float
    y: float
    y_low: float
    y_high: float
    radius: float


def scatter_chart(rows: Sequence[Plotted]) -> str:
    """micro-AP with its interval against p50, the dot's area as file size; "" where nothing was judged."""
    judged = [row for row in rows if row.p50_ms and row.micro_ap is not None]
    if not judged:
        return ""
    x_axis = time_axis([row.p50_ms or 0.0 for row in judged], _LEFT, _RIGHT, _LOG_FROM_RATIO)
    lows, highs = [row.micro_ap_low or 0.0 for row in judged], [row.micro_ap_high or 0.0 for row in judged]
    y_axis = Axis(min(lows) - 0.02, max(highs) + 0.02, _BOTTOM, _TOP)
    biggest_bytes = max(1, *(row.model_bytes for row in judged))  # a hash has no model
    points = [_point(row, x_axis, y_axis, biggest_bytes) for row in judged]
    parts = [_horizontal_tick(y_axis, tick) for tick in y_axis.ticks()]
    parts += [vertical_tick(x_axis, tick, _TOP, _BOTTOM) for tick in x_axis.ticks()]
    parts += [
        f'<line class="baseline" x1="{_LEFT}" x2="{_RIGHT}" y1="{point.y:.1f}" y2="{point.y:.1f}"/>'
        for point in points
        if point.row.is_baseline
    ]
    parts += [_dot(point) for point in points]
    parts += _labels(points)
    label = f"micro-AP against p50 in ms, {x_axis.kind}; dot area is file size, lines are 95 % intervals"
    return svg(_BOTTOM + 22, label, parts)


def _point(row: Plotted, x_axis: Axis, y_axis: Axis, biggest_bytes: int) -> _Point:
    return _Point(
        row=row,
        x=x_axis.at(row.p50_ms or 0.0),
        y=y_axis.at(row.micro_ap or 0.0),
        y_low=y_axis.at(row.micro_ap_low or 0.0),
        y_high=y_axis.at(row.micro_ap_high or 0.0),
        radius=max(_MIN_RADIUS, _MAX_RADIUS * math.sqrt(row.model_bytes / biggest_bytes)),
    )


def _horizontal_tick(axis: Axis, tick: float) -> str:
    y = axis.at(tick)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT / 2:.1f}" y="{y + 4:.1f}">{tick:.2f}</text>'
    )


def _dot(point: _Point) -> str:
    row = point.row
    return (
        f"<g><title>{escape(row.name)}: micro-AP {row.micro_ap:.3f} ({row.micro_ap_low:.3f} to "
        f"{row.micro_ap_high:.3f}), p50 {row.p50_ms:.2f} ms, {row.model_bytes / 1e6:.1f} MB</title>"
        f'<path class="interval" d="M{point.x:.1f} {point.y_low:.1f}V{point.y_high:.1f}"/>'
        f'<circle class="{target_classes(row)}" cx="{point.x:.1f}" cy="{point.y:.1f}" r="{point.radius:.1f}"/></g>'
    )


def _labels(points: Sequence[_Point]) -> list[str]:
    """A label near each dot, where it covers no dot and no other label, with a line back to its dot."""
    taken = [(point.x - point.radius, point.x + point.radius, point.y, point.radius) for point in points]
    parts = []
    for point in sorted(points, key=lambda point: point.x):
        width = len(point.row.label) * _CHARACTER_WIDTH
        x, y = _free_place(point, width / 2, taken)
        taken.append((x - width / 2, x + width / 2, y, _LABEL_HEIGHT / 2))
        parts.append(f'<path class="leader" d="M{point.x:.1f} {point.y:.1f}L{x:.1f} {y:.1f}"/>')
        parts.append(f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{escape(point.row.label)}</text>')
    return parts


def _free_place(
    point: _Point, half_width: float, taken: Sequence[tuple[float, float, float, float]]
) -> tuple[float, float]:
    """The middle of the nearest free place for a label, on rings around the dot.

    `taken` holds (left, right, middle, half height) of what is there.
    """

    def is_free(x: float, y: float) -> bool:
        inside = _LEFT + half_width <= x <= _RIGHT - half_width and _TOP <= y <= _BOTTOM - _LABEL_HEIGHT
        return inside and all(
            x + half_width < left or x - half_width > right or abs(y - middle) > half_height + _LABEL_HEIGHT / 2
            for left, right, middle, half_height in taken
        )

    rings = range(0, 160, 6)
    angles = [index * math.pi / 8 for index in range(16)]
    places = [
        (point.x + (point.radius + 6 + half_width + ring) * math.cos(angle), point.y + (16 + ring) * math.sin(angle))
        for ring in rings
        for angle in angles
    ]
    return next((place for place in places if is_free(*place)), (point.x, point.y))
