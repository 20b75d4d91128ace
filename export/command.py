"""The body of `python -m export`: what to make, progress on the way, the table and the next commands at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from distill.students.checkpoint import Checkpoint, open_student
from export.bundle.manifest import Parity
from export.pipeline import bundle_name, export_bundles
from export.plan import Outcome
from export.quantization.budget import NOTE, Budget
from export.structure import summary
from export.targets.table import CALIBRATED, PRECISIONS, TARGETS, find_target
from icd_mobile.errors import InputError, OutsideError, unknown_name
from icd_mobile.quiet import terminal

_STYLES = {"ok": "green", "exported but failed its check": "yellow", "failed": "red"}


def plan_jobs(targets: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """(target, precision) pairs, in the table's order, each once.

    Raises:
        InputError: no target, or an unknown name.
    """
    if not targets:
        raise InputError(f"nothing to export: give --target, one of {', '.join(TARGETS)}, or all")
    chosen = set(TARGETS) if "all" in targets else {name for name in targets if find_target(name)}
    known = dict.fromkeys(precision for target in TARGETS.values() for precision in target.precisions)
    for name in precisions:
        if name not in (*known, "all"):
            raise unknown_name("precision", name, [*known, "all"])
        takers = [target for target in TARGETS if name in TARGETS[target].precisions]
        if name != "all" and not chosen.intersection(takers):
            raise InputError(f"{name} is for {', '.join(takers)} alone; add --target {takers[0]}, or leave {name} out")
    jobs = []
    for name, target in TARGETS.items():
        if name in chosen:
            wanted = PRECISIONS if "all" in precisions else precisions or [target.recommended_precision]
            jobs += [(name, precision) for precision in target.precisions if precision in {*wanted, *precisions}]
    return jobs


def run_export(
    targets: Sequence[str],
    student: str,
    precisions: Sequence[str],
    calibration_dir: Path | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
    disjoint_from: Sequence[Path] = (),
    budget: Budget | None = None,
) -> int:
    """Export and print; the exit code is 0 where every artifact is ok, 3 where only a package is missing, else 1."""
    jobs = plan_jobs(targets, precisions)
    for option, given, takers in (
        ("--calibration", calibration_dir is not None, CALIBRATED),
        ("--disjoint-from", bool(disjoint_from), CALIBRATED),
        ("--max-drop", budget is not None, ("int8",)),
    ):
        if given and not any(precision in takers for _, precision in jobs):
            raise InputError(f"{option} is for int8, and no int8 was asked for; add --precision int8, or leave it out")
    checkpoint = open_student(student)
    with os.fdopen(terminal(), "w") as stream:
        console = Console(file=stream)
        outcomes = _export_with_progress(
            checkpoint, jobs, calibration_dir, out, overwrite, console, disjoint_from, budget
        )
    if as_json:
        print(json.dumps({"outcomes": [_plain(outcome) for outcome in outcomes]}))
    else:
        print_outcomes(checkpoint, outcomes, out)
    failed = [outcome for outcome in outcomes if outcome.state != "ok"]
    if failed and all(outcome.is_outside for outcome in failed):
        return OutsideError.exit_code
    return 1 if failed else 0


def _export_with_progress(
    checkpoint: Checkpoint,
    jobs: Sequence[tuple[str, str]],
    calibration_dir: Path | None,
    out: Path,
    overwrite: bool,
    console: Console,
    disjoint_from: Sequence[Path],
    budget: Budget | None,
) -> list[Outcome]:
    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    names = [bundle_name(checkpoint.card.student, *job) for job in jobs]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=len(jobs))

        def progress(name: str, what: str) -> None:
            if name in names:
                bar.update(task, completed=names.index(name), description=f"{name}: {what}")
            elif what.startswith(("calibration:", NOTE)):
                console.print(what, soft_wrap=True, highlight=False, markup=False)
            else:
                bar.update(task, description=what)

        return export_bundles(checkpoint, jobs, calibration_dir, out, overwrite, progress, disjoint_from, budget)


def print_outcomes(checkpoint: Checkpoint, outcomes: Sequence[Outcome], out: Path) -> None:
    """The table in three states, then what to do next."""
    table = Table(title=f"{checkpoint.card.student}, D = {checkpoint.card.descriptor_dim}")
    for column in ("target", "precision", "state", "size", "cosine min, mean", "time"):
        table.add_column(column, justify="left" if column in {"target", "precision", "state"} else "right")
    for outcome in outcomes:
        table.add_row(
            outcome.target,
            outcome.precision,
            f"[{_STYLES[outcome.state]}]{outcome.state}[/]",
            f"{outcome.model_bytes / 1e6:.1f} MB" if outcome.model_bytes else "-",
            _cosines(outcome.parity),
            f"{outcome.seconds:.0f} s",
        )
    console = Console()
    console.print(table)
    if checkpoint.card.trunk == "random":
        console.print("random weights: right about size and latency, useless for detection")
    for outcome in outcomes:
        if outcome.state != "ok" or (outcome.parity and outcome.parity.evidence != "measured"):
            console.print(
                f"{outcome.target} {outcome.precision}: {_why(outcome)}", markup=False, highlight=False, soft_wrap=True
            )
    read = [outcome for outcome in outcomes if outcome.structure]
    if read:
        console.print("\nTaken by a phone's backends, in how many partitions; each model card says what is left:")
    for outcome in read:
        line = f"  {outcome.target} {outcome.precision}: {summary(outcome.structure)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    made = next((outcome.bundle_dir for outcome in outcomes if outcome.bundle_dir), None)
    if made is not None:
        console.print("\nNext:", highlight=False)
        console.print(f"  python -m export --verify {made}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  python -m bench run --bundle {out}", markup=False, highlight=False, soft_wrap=True)


def _cosines(parity: Parity | None) -> str:
    if parity is None or parity.cosine_min is None or parity.cosine_mean is None:
        return "not measured"
    text = f"{parity.cosine_min:.6f}, {parity.cosine_mean:.6f}"
    return text if parity.evidence == "measured" else f"{text} ({parity.evidence})"


def _why(outcome: Outcome) -> str:
    parity = outcome.parity
    search = outcome.search
    if search is not None and not search.fits:
        return (
            f"{outcome.state}: micro-AP drop {search.drop:.4f} (budget {search.max_drop:g}), "
            f"{search.cross_drop:.4f} with fp32 references (budget {search.max_cross_drop:g}), "
            f"{search.evidence} on {search.validation.name}; "
            "calibrate on more photographs (--calibration), or allow more"
        )
    if outcome.state == "exported but failed its check" and parity is not None:
        least = f"least cosine {parity.cosine_min:.6f}, needed {parity.bar_cosine_min}"
        return f"{outcome.state}: {least} ({parity.reason})"
    if outcome.state == "failed":
        return f"failed: {outcome.reason}"
    return f"exported; its parity is {parity.evidence if parity else 'not measured'}: {outcome.reason}"


def _plain(outcome: Outcome) -> dict[str, object]:
    fields = asdict(outcome)
    del fields["is_outside"]  # the exit code says it
    return {
        **fields,
        "bundle_dir": str(outcome.bundle_dir) if outcome.bundle_dir else None,
        "parity": outcome.parity.model_dump() if outcome.parity else None,
        "structure": [check.model_dump() for check in outcome.structure],
        "search": outcome.search.model_dump() if outcome.search else None,
    }
