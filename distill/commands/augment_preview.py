"""`python -m distill augment-preview`: look at the views before hours are spent on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from distill.augmentations import AUGMENTATIONS, open_augmentation
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError

EXAMPLES = "\n\n".join(
    [
        "Example: python -m distill augment-preview --images photos --augmentation advanced --out preview.png",
        "Example: python -m distill augment-preview --images pics.tar --augmentation copy --out sheet.png --rows 12",
    ]
)


def augment_preview(
    images: Annotated[Path, typer.Option(help="A folder of images, or an uncompressed tar of them.")],
    out: Annotated[Path, typer.Option(help="The picture to write: NAME.png.")],
    augmentation: Annotated[str, typer.Option(help=f"One of {', '.join(AUGMENTATIONS)}.")] = "advanced",
    rows: Annotated[int, typer.Option(min=1, max=100, help="Photographs, spread over the collection.")] = 8,
    views: Annotated[int, typer.Option(min=1, max=20, help="Views a photograph.")] = 7,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of a view in px.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other views.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Write a sheet of augmented views: one row for each photograph."""
    with one_line_errors():
        if out.suffix != ".png":
            raise InputError(f"--out needs a file name that ends in .png, got {out}")
        from distill.augmentations.preview import preview_sheet
        from icd_mobile.files import whole_file
        from icd_mobile.pictures.collection import open_photos

        open_augmentation(augmentation)  # a mistyped name before the photographs are read
        opened = open_photos(images)
        sheet = preview_sheet(opened.photos, augmentation, rows, views, size, seed)
        with whole_file(out) as temporary:
            sheet.save(temporary, "PNG")
        if as_json:
            facts = {"augmentation": augmentation, "rows": min(rows, len(opened.photos)), "views": views}
            typer.echo(json.dumps({"out": str(out), **facts, "size_px": size, "seed": seed}))
        else:
            typer.echo(f"wrote {out}: {augmentation}, {min(rows, len(opened.photos))} photographs x {views} views")
