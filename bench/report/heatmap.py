"""The compatibility matrix as heat-maps: inline SVG with the figures in its cells, the darker the worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from bench.records.compatibility import Cell, Compatibility

_CELL_PX = 46.0
_CHARACTER_PX = 6.6  # of a label, about
_SLANT_DEGREES = 50  # of a column's label
_AXIS_PX, _GAP_PX = 20.0, 8.0
_WORST_LOSS, _WORST_CHANGE = 0.05, 0.5  # micro-AP and share from which a cell is as dark as it gets
_DARKEST = 0.65
_MAX_ZOOM = 1.5


@dataclass(frozen=True)
class _Room:
    """What the longest label takes: left of the rows, above the columns, and beyond the last column."""

    left_px: float
    top_px: float
    right_px: float


def _room(labels: list[str]) -> _Room:
    longest_px = _CHARACTER_PX * max(len(label) for label in labels)
    slant = math.radians(_SLANT_DEGREES)
    return _Room(
        left_px=longest_px + _GAP_PX,
        top_px=_AXIS_PX + longest_px * math.sin(slant) + _GAP_PX,
        right_px=max(0.0, longest_px * math.cos(slant) + _GAP_PX - _CELL_PX / 2),
    )


def micro_ap_heatmap(found: Compatibility) -> str:
    """micro-AP in each cell, coloured by what it loses against the index's own queries; "" without a pair."""
    return _heatmap(
        found, "micro-AP", lambda cell: f"{cell.micro_ap:.3f}", lambda cell: -found.gain(cell) / _WORST_LOSS
    )


def first_answer_heatmap(found: Compatibility) -> str:
    """Share of the queries whose first answer is another than with the index's own, in percent; "" without a pair."""
    return _heatmap(
        found,
        "first answers changed, %",
        lambda cell: f"{100 * cell.top1_changed:.1f}",
        lambda cell: cell.top1_changed / _WORST_CHANGE,
    )


def _heatmap(found: Compatibility, what: str, text: Callable[[Cell], str], badness: Callable[[Cell], float]) -> str:
    crossed = {hash_ for cell in found.cells if cell.index != cell.queries for hash_ in (cell.index, cell.queries)}
    members = [member for member in found.members if member.model_sha256 in crossed]
    if not members:
        return ""
    by_pair = found.by_pair
    labels = [found.labels[member.model_sha256] for member in members]
    room = _room(labels)
    parts = [
        f'<text class="tick" x="{room.left_px + len(members) * _CELL_PX / 2:.0f}" y="12">queried by</text>',
        '<text class="axis" x="0" y="12">index built by</text>',
    ]
    for row, index in enumerate(members):
        middle = room.top_px + (row + 0.5) * _CELL_PX
        parts.append(f'<text x="0" y="{middle + 4:.0f}">{escape(labels[row])}</text>')
        parts.append(_column_label(row, labels[row], room))
        for column, queries in enumerate(members):
            cell = by_pair.get((index.model_sha256, queries.model_sha256))
            x, y = room.left_px + column * _CELL_PX, room.top_px + row * _CELL_PX
            title = f"index {labels[row]}, queries {labels[column]}"
            parts.append(_cell(x, y, title, row == column, cell, text, badness))
    side = len(members) * _CELL_PX
    width, height = room.left_px + side + room.right_px, room.top_px + side
    label = f"{what} of each pair: rows are the index, columns the queries; the figures stand in the table below"
    return (
        f'<svg class="heat" style="min-width:{0.8 * width:.0f}px;max-width:{_MAX_ZOOM * width:.0f}px" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _column_label(column: int, label: str, room: _Room) -> str:
    x = room.left_px + (column + 0.5) * _CELL_PX + 4
    y = room.top_px - 6
    return f'<text transform="translate({x:.0f} {y:.0f}) rotate(-{_SLANT_DEGREES})">{escape(label)}</text>'


def _cell(
    x: float,
    y: float,
    title: str,
    is_own: bool,
    cell: Cell | None,
    text: Callable[[Cell], str],
    badness: Callable[[Cell], float],
) -> str:
    """A square and its figure; a pair of different spaces has a dash."""
    shade = _DARKEST * min(1.0, max(0.0, badness(cell))) if cell else 0.0
    figure = text(cell) if cell else "-"
    kind = "cell own" if is_own else "cell"
    return (
        f"<g><title>{escape(title)}: {figure if cell else 'another descriptor space, not compared'}</title>"
        f'<rect class="{kind}" x="{x + 1:.0f}" y="{y + 1:.0f}" width="{_CELL_PX - 2:.0f}" height="{_CELL_PX - 2:.0f}" '
        f'rx="4" style="fill-opacity:{shade:.2f}"/>'
        f'<text class="figure" x="{x + _CELL_PX / 2:.0f}" y="{y + _CELL_PX / 2 + 4:.0f}">{figure}</text></g>'
    )
