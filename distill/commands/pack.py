"""`python -m distill pack`: a student at half the bytes, to ship or to commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from icd_mobile.cli import check_out, one_line_errors

EXAMPLES = (
    "Example: python -m distill pack --student artifacts/runs/default-20250101-120000/student.safetensors "
    "--out artifacts/checkpoints/mine.safetensors --licence CC-BY-4.0"
)


def pack(
    student: Annotated[str, typer.Option(help="A student checkpoint.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write: NAME.safetensors.")],
    data: Annotated[str | None, typer.Option(help="What it was trained on, for the card; kept if not given.")] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence, for the card; kept if not given.")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of its pictures in px, where another than it has detects more.", show_default="kept"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Store a student's weights as float16."""
    with one_line_errors():
        check_out(out)
        import torch

        from distill.students.checkpoint import open_student, save_checkpoint
        from distill.students.student import resized_student
        from distill.students.weights import tensors_sha256

        opened = open_student(student)
        halved = resized_student(opened.model, size or opened.card.input_size_px)
        halved = halved.half().float()  # as it will be loaded: its trunk has another hash
        said = {
            "data": data or opened.card.data,
            "licence": licence or opened.card.licence,
            "input_size_px": halved.input_size_px,
        }
        facts = {"trunk_sha256": tensors_sha256(halved.trunk.state_dict()), "trunk_inside": True, **said}
        save_checkpoint(out, halved, opened.card.model_copy(update=facts), torch.float16)
        num_bytes = out.stat().st_size
        if as_json:
            typer.echo(json.dumps({"out": str(out), "bytes": num_bytes}))
        else:
            typer.echo(f"wrote {out}: {opened.card.student}, {opened.card.descriptor_dim}-d, {num_bytes / 1e6:.1f} MB")
