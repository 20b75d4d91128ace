"""The sheet's grid: cards do not touch, and their text stays inside them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from icd_mobile.datasets.made.preview import Card, Section, draw_sheet

# 24 px of margin, then columns of 196 px with 12 px between them.
MARGIN_PX, PITCH_PX, GAP_PX = 24, 208, 12


def test_gaps_between_columns_stay_empty_however_long_the_text() -> None:
    text = "heavy_crop + color_jitter + perspective + quarter_turn + grayscale " * 2
    card = Card((Image.new("RGB", (500, 20), "navy"),), "Q00000, hard", text)
    sheet = np.asarray(draw_sheet("title", [Section("", (card,) * 10)]))
    for column in range(1, 8):
        gap = sheet[70:, MARGIN_PX + column * PITCH_PX - GAP_PX : MARGIN_PX + column * PITCH_PX]
        assert (gap == 255).all(), column
    assert (sheet[:, :MARGIN_PX] == 255).all()
    assert (sheet[:, -MARGIN_PX:] == 255).all()


def test_a_pair_takes_two_columns_and_a_row_grows_with_its_text() -> None:
    picture = Image.new("RGB", (30, 30), "navy")
    single, pair = Card((picture,), "Q00000", "blur"), Card((picture, picture), "R000000 and Q00000", "blur")
    long = Card((picture,), "Q00000", "blur + " * 20)
    singles, pairs, five_pairs, with_long = (
        draw_sheet("title", [Section("", cards)]).size
        for cards in ((single,) * 8, (pair,) * 4, (pair,) * 5, (single,) * 7 + (long,))
    )
    assert singles == pairs
    assert five_pairs[1] > pairs[1]
    assert with_long[1] > singles[1]
