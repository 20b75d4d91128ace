"""`python -m distill train`: photographs and a recipe in, a student checkpoint out. Import-light."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from distill.training.start_run import Finished

HELP = (
    "Train a student by a recipe: a shipped one (default, sscd_student, kd_icd, rdcd, sscd) or a YAML file, with "
    "KEY=VALUE words put over it.\n\nOne process; torchrun or srun start more. How to: docs/train.md."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m distill train --images photos --dry-run",
        "Example: python -m distill train --config sscd --images photos.tar batch_size=64 optimizer.lr=0.1",
        "Example: python -m distill train --resume artifacts/runs/default-20250101-120000",
        "Example: torchrun --nproc-per-node 8 -m distill train --config rdcd --images DISC/train",
    ]
)


def train(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the recipe: optimizer.lr=0.1.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="A recipe's name or a YAML file.", show_default="default")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of photographs, or a tar of them.")] = None,
    resume: Annotated[Path | None, typer.Option(help="The folder of a run to go on with.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="artifacts/runs/NAME-TIME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and the memory it needs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `distill.__main__`."""
    with one_line_errors():
        keep_freed_memory()
        if resume is not None and (out is not None or dry_run):
            raise InputError("--resume goes on in the run's own folder; leave out --out and --dry-run")
        words = list(overrides or ())
        if images is not None:
            words.append(f"data.images={json.dumps(os.path.relpath(images))}")
        from distill.configs.config_files import read_config

        if resume is not None:
            from distill.training.start_run import go_on

            _report(go_on(resume, config, words), as_json)
            return
        recipe = read_config(config or "default", words)
        if dry_run:
            from distill.training.plan import make_plan, plan_text

            plan = make_plan(recipe)
            typer.echo(json.dumps(plan) if as_json else plan_text(plan))
            return
        from distill.training.start_run import begin

        _report(begin(recipe, out), as_json)


def _report(finished: Finished, as_json: bool) -> None:
    if not finished.is_first_process:
        return
    config, trained = finished.config, finished.trained
    if as_json:
        result = {
            "run": str(finished.folder.path),
            "student": str(finished.folder.student_path),
            "num_steps": trained.num_steps,
            "micro_ap": trained.best_micro_ap,
            "micro_ap_evidence": "not measured" if trained.best_micro_ap is None else "measured",
        }
        typer.echo(json.dumps(result))
        return
    micro_ap = "micro-AP not measured: no validation.dataset"
    if trained.best_micro_ap is not None:
        micro_ap = f"micro-AP {trained.best_micro_ap:.4f} (measured on {Path(config.validation.dataset or '').name})"
    typer.echo(
        f"wrote {finished.folder.student_path}: {config.student.name}, {config.student.descriptor_dim}-d, "
        f"{config.student.input_size_px} px, {trained.num_steps:,} steps; {micro_ap}"
    )
