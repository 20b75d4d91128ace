"""`python -m bench make-dataset`: any photographs in, a benchmark of edited copies out."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.cli import one_line_errors, sigterm_cleans_up

if TYPE_CHECKING:
    from icd_mobile.datasets.made.photos import SkippedPhoto

MAX_NAMED = 20  # skipped files that standard error names; the manifest names all

HELP = (
    "Make a benchmark from your own photographs: queries with and without a match, references, distractors, a training "
    "split, the ground truth, a manifest of every edit, and a sheet to look at (preview.png).\n\n"
    "Each photograph has one role. The same seed gives the same files. Nothing is written into --images."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench make-dataset --images photos --out artifacts/datasets/mine --seed 0",
        "Example: python -m bench make-dataset --images photos.tar --out artifacts/datasets/hard --strength hard "
        "--num-queries 2000",
    ]
)


def make_dataset(
    images: Annotated[Path, typer.Option(help="A folder of photographs, with those below it, or a tar of them.")],
    out: Annotated[Path, typer.Option(help="The folder to make; must not exist.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed deals other roles and other edits.")] = 0,
    strength: Annotated[
        str,
        typer.Option(
            help="easy: 1 light edit; medium: 1 or 2, also pasted onto a photograph; hard: 2 to 4, always a heavy crop "
            "or pasted; mixed: all three."
        ),
    ] = "mixed",
    num_queries: Annotated[
        int | None,
        typer.Option(help="Queries, with and without a match.", show_default="one for every 2 judged photos"),
    ] = None,
    unmatched_share: Annotated[float, typer.Option(help="Share of the queries without a match, 0 to 0.9.")] = 0.4,
    training_share: Annotated[
        float, typer.Option(help="Share of the photographs that are never judged, to fit on; 0 to 0.8.")
    ] = 0.3,
    size: Annotated[int, typer.Option(help="Limit of the longer side of what is written, px.")] = 512,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; they change no file.", show_default="one a core")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(), sigterm_cleans_up():
        from icd_mobile.datasets.made.make import make_dataset as make
        from icd_mobile.datasets.made.manifest import MANIFEST_NAME, count_roles
        from icd_mobile.datasets.made.plan import Settings
        from icd_mobile.datasets.made.preview import PREVIEW_NAME
        from icd_mobile.progress import image_steps

        settings = Settings(strength, num_queries, unmatched_share, training_share, size)
        with image_steps() as on_image:
            made = make(images, out, seed, settings, on_image, workers or os.cpu_count() or 1)
        _report_skipped(made.source.skipped, made.source.num_files)
        num = count_roles(made.plan) | {"skipped": len(made.source.skipped)}
        if as_json:
            paths = {"dataset": str(out), "manifest": str(out / MANIFEST_NAME), "preview": str(out / PREVIEW_NAME)}
            typer.echo(json.dumps(paths | {"num_images": num}))
            return
        typer.echo(
            f"wrote {out}: {num['queries']:,} queries, {num['queries_with_a_match']:,} with a match; "
            f"{num['references']:,} references, {num['training']:,} training images, "
            f"{num['backgrounds']:,} backgrounds; {num['skipped']:,} skipped"
        )
        command = shlex.join(["python", "-m", "bench", "run", "--dataset", str(out), "--preset", "smoke"])
        typer.echo(f"\nNext: look at {out / PREVIEW_NAME}, then\n  {command}")


def _report_skipped(skipped: tuple[SkippedPhoto, ...], num_files: int) -> None:
    if skipped:
        print(f"skipped {len(skipped):,} of {num_files:,} images:", file=sys.stderr)
    for photo in skipped[:MAX_NAMED]:
        print(f"  {photo.name}: {photo.reason}", file=sys.stderr)
    if len(skipped) > MAX_NAMED:
        print(f"  and {len(skipped) - MAX_NAMED:,} more; the manifest names all", file=sys.stderr)
