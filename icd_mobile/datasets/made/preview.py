"""The sheet that shows what a made dataset asks: pairs, queries without a match, and each edit by itself.

Pairs and queries are drawn from the files as they were written, so the sheet shows what will be judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icd_mobile.datasets.made.edit_chains import STRENGTHS, edited_copy, limited
from icd_mobile.datasets.made.plan import PlannedQuery, SetPlan
from icd_mobile.pictures.edits import EDITS
from icd_mobile.pictures.preprocessing import read_rgb

PREVIEW_NAME = "preview.png"
NUM_PAIRS, NUM_UNMATCHED = 16, 8
_NUM_COLUMNS, _PICTURE_PX, _PAD_PX, _GAP_PX, _MARGIN_PX = 8, 180, 8, 12, 24
_PITCH_PX = _PICTURE_PX + 2 * _PAD_PX + _GAP_PX
_LINE_PX, _HEADING_PX = 17, 44
_PAPER, _CARD, _INK, _GREY = "#ffffff", "#f0f0ed", "#1a1a1a", "#5a5a5a"


@dataclass(frozen=True)
class Card:
    """Pictures side by side, one a column, above a dark title and lines of grey text."""

    pictures: tuple[Image.Image, ...]
    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """A heading above rows of cards of the same width."""

    heading: str
    cards: tuple[Card, ...]


def write_preview(folder: Path, plan: SetPlan, seed: int, title: str) -> None:
    """Draw `preview.png` into a dataset's folder, while the photographs of `plan` can still be read.

    Raises:
        UnreadableImageError: one of them cannot.
        OSError: the sheet cannot be written.
    """
    matched = _spread([query for query in plan.queries if query.reference_id], NUM_PAIRS)
    unmatched = _spread([query for query in plan.queries if not query.reference_id], NUM_UNMATCHED)
    original, background = read_rgb(matched[0].photo.path), read_rgb(plan.backgrounds[0].path)
    sections = [
        Section("A reference, and a query that is its copy", tuple(_card(folder, query) for query in matched)),
        Section("Queries without a match", tuple(_card(folder, query) for query in unmatched)),
        Section("Each edit by itself", tuple(_edit_cards(original, background, seed))),
    ]
    draw_sheet(title, [section for section in sections if section.cards]).save(folder / PREVIEW_NAME)


def _spread(queries: list[PlannedQuery], num: int) -> list[PlannedQuery]:
    """At most `num` of the queries, evenly over them, from the easy ones to the hard ones."""
    by_strength = sorted(queries, key=lambda query: list(STRENGTHS).index(query.strength))
    step = max(1.0, len(queries) / num)
    return [by_strength[int(index * step)] for index in range(min(num, len(queries)))]


def _card(folder: Path, query: PlannedQuery) -> Card:
    paths = [folder / "queries" / f"{query.query_id}.jpg"]
    if query.reference_id:
        paths.insert(0, folder / "references" / f"{query.reference_id}.jpg")
    ids = " and ".join(path.stem for path in paths)
    return Card(tuple(map(read_rgb, paths)), f"{ids}, {query.strength}", " + ".join(query.edits))


def _edit_cards(original: Image.Image, background: Image.Image, seed: int) -> Iterator[Card]:
    small, other = limited(original, 2 * _PICTURE_PX), limited(background, 2 * _PICTURE_PX)
    yield Card((small,), "the photograph", "before any edit")
    yield Card((other,), "a background", "what it is pasted onto, or is pasted onto it")
    for index, (name, edit) in enumerate(EDITS.items()):
        edited = edited_copy(small, other, (name,), np.random.default_rng((seed, index)), 4 * _PICTURE_PX)
        yield Card((edited,), name, (edit.__doc__ or "").partition("\n")[0])


def draw_sheet(title: str, sections: Sequence[Section]) -> Image.Image:
    """The sections below each other on an even grid, each as high as its longest text needs."""
    width_px = 2 * _MARGIN_PX + _NUM_COLUMNS * _PITCH_PX - _GAP_PX
    rows = [list(_rows(section.cards)) for section in sections]
    height_px = 2 * _MARGIN_PX + sum(_HEADING_PX + sum(map(_row_height_px, section_rows)) for section_rows in rows)
    sheet = Image.new("RGB", (width_px, height_px + _HEADING_PX), _PAPER)
    write = ImageDraw.Draw(sheet).text
    write((_MARGIN_PX, _MARGIN_PX), title, _INK, _font(24))
    top_px = _MARGIN_PX + _HEADING_PX
    for section, section_rows in zip(sections, rows, strict=True):
        write((_MARGIN_PX, top_px + 14), section.heading, _INK, _font(18))
        top_px += _HEADING_PX
        for row in section_rows:
            left_px = _MARGIN_PX
            for card in row:
                _draw_card(sheet, card, left_px, top_px, _row_height_px(row) - _GAP_PX)
                left_px += len(card.pictures) * _PITCH_PX
            top_px += _row_height_px(row)
    return sheet


def _rows(cards: Sequence[Card]) -> Iterator[Sequence[Card]]:
    num_a_row = _NUM_COLUMNS // len(cards[0].pictures)
    for start in range(0, len(cards), num_a_row):
        yield cards[start : start + num_a_row]


def _row_height_px(row: Sequence[Card]) -> int:
    num_lines = 1 + max(len(_lines(card)) for card in row)
    return _PICTURE_PX + 3 * _PAD_PX + num_lines * _LINE_PX + _GAP_PX


def _draw_card(sheet: Image.Image, card: Card, left_px: int, top_px: int, height_px: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left_px, top_px, left_px + _card_width_px(card) - 1, top_px + height_px - 1), _CARD)
    for column, picture in enumerate(card.pictures):
        small = limited(picture, _PICTURE_PX)
        centre_x = left_px + column * _PITCH_PX + _PAD_PX + _PICTURE_PX // 2
        centre_y = top_px + _PAD_PX + _PICTURE_PX // 2
        sheet.paste(small, (centre_x - small.width // 2, centre_y - small.height // 2))
    text_top_px = top_px + _PICTURE_PX + 2 * _PAD_PX
    draw.text((left_px + _PAD_PX, text_top_px), card.title, _INK, _font(14))
    for number, line in enumerate(_lines(card), start=1):
        draw.text((left_px + _PAD_PX, text_top_px + number * _LINE_PX), line, _GREY, _font(13))


def _card_width_px(card: Card) -> int:
    return len(card.pictures) * _PITCH_PX - _GAP_PX


def _lines(card: Card) -> list[str]:
    """The text broken between words to the width of the card."""
    limit_px = _card_width_px(card) - 2 * _PAD_PX
    lines = [""]
    for word in card.text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _font(13).getlength(longer) <= limit_px or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font inside Pillow: the same on every machine."""
    return ImageFont.load_default(size_px)
