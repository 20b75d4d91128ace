"""`python -m bench run`: bundles and a device to records."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devices.base import DeviceError
from icd_mobile.cli import one_line_errors, sigterm_cleans_up

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.records.rows import Row
    from bench.report.table import Column
    from bench.run.run import RunPlan, RunResult

HELP = "Measure each bundle on a device: load, latency, memory, and micro-AP on a dataset. Writes one record each."
EXAMPLES = "Example: python -m bench run --bundle artifacts/bundles --preset smoke"


def run(
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle or a folder of bundles; repeatable.", show_default="artifacts/bundles"),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to run; see python -m devices.")] = "host",
    dataset: Annotated[
        str,
        typer.Option(
            help="'sample'; 'copydays' or 'disc', once prepared; or a folder: a tree of these two, or references/, "
            "queries/ and ground_truth.csv."
        ),
    ] = "sample",
    preset: Annotated[
        str, typer.Option(help="full (1024 samples and 60 s), quick (128 and 10 s) or smoke (64 and 6 s).")
    ] = "quick",
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the runtime.")] = 1,
    baseline: Annotated[
        str, typer.Option(help="The student to compare with, by name or checkpoint; or 'none'.")
    ] = "default",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="The teacher to compare with, by name or checkpoint; or 'none'.", show_default="the student's"
        ),
    ] = None,
    write_threshold: Annotated[
        bool,
        typer.Option("--write-threshold", help="Write each bundle's own threshold@P90 into its manifest and card."),
    ] = False,
    descriptors: Annotated[Path, typer.Option(help="Folder where descriptors are kept: embed's --out.")] = Path(
        "artifacts/descriptors"
    ),
    out: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("artifacts/records"),
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(DeviceError), sigterm_cleans_up():
        from bench.records.latency import find_preset
        from bench.run.run import RunPlan, run_bench
        from bench.run.screen import Screen

        plan = RunPlan(
            bundles=bundle or [Path("artifacts/bundles")],
            device=device,
            dataset=dataset,
            stores_dir=descriptors,
            preset=find_preset(preset),
            num_threads=threads,
            baseline=baseline,
            teacher=teacher,
            write_threshold=write_threshold,
            records_dir=out,
        )
        with Screen() as screen:
            result = run_bench(plan, screen)
        records = [record for record, _ in result.records]
        if as_json:
            typer.echo(json.dumps(_plain(result)))
        else:
            _print_result(result)
            typer.echo(f"\nNext:\n  {shlex.join(['python', '-m', 'bench', 'report', '--records', str(out)])}")
            typer.echo(f"  {shlex.join(['python', '-m', 'bench', 'run', *_full_run(plan)])}")
    raise typer.Exit(_exit_code(records))


def _full_run(plan: RunPlan) -> list[str]:
    """The options that measure the same again with the full preset."""
    options = [("--bundle", str(path)) for path in plan.bundles]
    options += [("--device", plan.device), ("--dataset", plan.dataset), ("--preset", "full")]
    options += [("--threads", str(plan.num_threads)), ("--baseline", plan.baseline)]
    options += [("--teacher", plan.teacher)] if plan.teacher else []
    options += [("--descriptors", str(plan.stores_dir)), ("--out", str(plan.records_dir))]
    return [word for option in options for word in option]


def _plain(result: RunResult) -> dict[str, object]:
    from dataclasses import asdict

    from bench.records.rows import make_row

    matrix = result.compatibility
    return {
        "records": [str(path) for _, path in result.records],
        "rows": [asdict(make_row(record)) for record, _ in result.records],
        "compatibility": [cell.model_dump() for cell in matrix.cells] if matrix else None,
        "thresholds": result.thresholds,
    }


def _print_result(result: RunResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.records.rows import make_row
    from bench.report.details import detection_table
    from bench.report.precisions import choose_precisions
    from bench.report.recommend import recommend
    from bench.report.table import columns_of
    from bench.report.words import describe_worst, notes_by_text

    records = [record for record, _ in result.records]
    rows = [make_row(record) for record in records]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    columns = [column for column in columns_of(rows) if column.in_terminal]
    table.add_column("artifact", no_wrap=True)
    for column in columns:
        title = f"{column.title} {column.unit}".strip().replace(" ", "\n")
        longest_word = max(
            len(word) for text in (title, *(_cell(column, row) for row in rows)) for word in text.split()
        )
        table.add_column(title, justify="right" if column.numeric else "left", min_width=longest_word)
    for row in rows:
        table.add_row(row.label, *(_cell(column, row) for column in columns))
    console = Console(highlight=False)
    console.print(table, crop=False)  # a figure that is cut off is worse than a line that is too long
    for who, note in notes_by_text(rows):
        console.print(f"{who}: {note}", markup=False)
    for note in detection_table(records, rows).notes:
        console.print(note, markup=False)
    if result.compatibility is not None:
        console.print(describe_worst(result.compatibility), markup=False)
    for line in result.thresholds:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"\nRecommended: {recommend(records).sentence}", markup=False)
    for choice in choose_precisions(records):
        console.print(f"  {choice.sentence}", markup=False)


def _cell(column: Column, row: Row) -> str:
    between = column.interval(row) if column.interval else ""
    return "\n".join(filter(None, (column.text(row), between)))


def _exit_code(records: list[Record]) -> int:
    """1 where an artifact failed, or does not see colour; 3 where none could run for want of its runtime."""
    from bench.records.record import REFERENCE_TARGETS

    bundles = [record for record in records if record.artifact.target not in REFERENCE_TARGETS]
    if any(record.failure or (record.stability and record.stability.ignores_colour) for record in records):
        return 1
    return 0 if any(record.latency or record.accuracy for record in bundles) else 3
