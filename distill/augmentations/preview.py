"""A sheet of augmented views to look at before a training: one row for each photograph, and what the rows have."""

from __future__ import annotations

from PIL import Image, ImageDraw

from distill.augmentations import open_augmentation
from distill.augmentations.overlays import default_font
from distill.augmentations.views import ViewKey, draw_views
from icd_mobile.pictures.collection import Photos

_GAP_PX = 6
_GROUND, _INK, _SOFT = (255, 255, 255), (20, 20, 20), (110, 110, 110)


def preview_sheet(photos: Photos, name: str, num_rows: int, num_views: int, size_px: int, seed: int) -> Image.Image:
    """Photographs spread evenly over the collection, the whole one first, then its views of epoch 0 as trained on.

    Raises:
        InputError: no such augmentation.
    """
    pipeline = open_augmentation(name)
    rows = [row * len(photos) // num_rows for row in range(min(num_rows, len(photos)))]
    text_px = max(11, size_px // 9)
    font, small = default_font(text_px), default_font(max(10, text_px * 3 // 4))
    title_px, caption_px = 3 * text_px, round(1.2 * text_px)
    cell = size_px + _GAP_PX
    width = _GAP_PX + cell * (1 + num_views)
    height = title_px + len(rows) * (cell + caption_px) + _GAP_PX
    sheet = Image.new("RGB", (width, height), _GROUND)
    pen = ImageDraw.Draw(sheet)
    title = f"{name}: {num_views} views a photograph, {size_px} px, seed {seed}"
    pen.text((_GAP_PX, 0.3 * text_px), title, fill=_INK, font=font)
    columns = ["photograph", *(f"view {view}" for view in range(num_views))]
    for column, heading in enumerate(columns):
        pen.text((_GAP_PX + column * cell, 1.8 * text_px), heading, fill=_SOFT, font=small)
    for row, image_id in enumerate(rows):
        top = title_px + row * (cell + caption_px)
        whole = photos[image_id]
        whole.thumbnail((size_px, size_px))
        place = ((size_px - whole.width) // 2, (size_px - whole.height) // 2)
        sheet.paste(whole, (_GAP_PX + place[0], top + place[1]))
        views = draw_views(photos, ViewKey(0, image_id), pipeline, num_views, size_px, seed)
        for column, pixels in enumerate(views, start=1):
            sheet.paste(Image.fromarray(pixels), (_GAP_PX + column * cell, top))
        pen.text((_GAP_PX, top + size_px + 1), photos.files[image_id].name, fill=_SOFT, font=small)
    return sheet
