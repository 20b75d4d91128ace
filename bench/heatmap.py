"""The compatibility matrix as heat-maps: inline SVG with the figures in its cells, the darker the worse."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from bench.compatibility import Cell, Compatibility

_CELL_PX, _LABEL_PX, _HEAD_PX = 46.0, 112.0, 96.0
_OVERHANG_PX = 36.0  # of the last column's slanted label
_WORST_LOSS, _WORST_CHANGE = 0.05, 0.5  # micro-AP and share from which a cell is as dark as it gets
_DARKEST = 0.65
_MAX_ZOOM = 1.5


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
    parts = [
        f'<text class="tick" x="{_LABEL_PX + len(members) * _CELL_PX / 2:.0f}" y="12">queried by</text>',
        '<text class="axis" x="0" y="12">index built by</text>',
    ]
    for row, index in enumerate(members):
        middle = _HEAD_PX + (row + 0.5) * _CELL_PX
        parts.append(f'<text x="0" y="{middle + 4:.0f}">{escape(labels[row])}</text>')
        parts.append(_column_label(row, labels[row]))
        for column, queries in enumerate(members):
            cell = by_pair.get((index.model_sha256, queries.model_sha256))
            x, y = _LABEL_PX + column * _CELL_PX, _HEAD_PX + row * _CELL_PX
            title = f"index {labels[row]}, queries {labels[column]}"
            parts.append(_cell(x, y, title, row == column, cell, text, badness))
    width, height = _LABEL_PX + len(members) * _CELL_PX + _OVERHANG_PX, _HEAD_PX + len(members) * _CELL_PX
    label = f"{what} of each pair: rows are the index, columns the queries; the figures stand in the table below"
    return (
        f'<svg class="heat" style="min-width:{0.8 * width:.0f}px;max-width:{_MAX_ZOOM * width:.0f}px" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _column_label(column: int, label: str) -> str:
    x = _LABEL_PX + (column + 0.5) * _CELL_PX + 4
    y = _HEAD_PX - 6
    return f'<text transform="translate({x:.0f} {y:.0f}) rotate(-50)">{escape(label)}</text>'


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
