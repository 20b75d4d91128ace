"""`python -m distill compare`: which recipe is best on these photographs. Import-light."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import one_line_errors

if TYPE_CHECKING:
    from distill.comparison.compare import Row, Run

HELP = (
    "Train recipes alike, some seeds each, and judge them on one benchmark at the end: the same student, photographs "
    "and number of views. KEY=VALUE goes over all recipes, RECIPE:KEY=VALUE over one.\n\nA comparison that was stopped "
    "goes on where it was. What it found here: docs/recipes.md."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m distill compare --images photos --dataset artifacts/datasets/mine --recipe default "
        "--recipe sscd student.name=efficientnet_lite0 student.trunk=pypi student.descriptor_dim=256 batch_size=64 "
        "epochs=4 data.size_px=128 data.num_views=2 default:student.start_from=null sscd:optimizer.lr=0.075",
    ]
)


def compare(
    images: Annotated[Path, typer.Option(help="A folder of photographs, or a tar of them.")],
    dataset: Annotated[str, typer.Option(help="A benchmark of other photographs: a folder of `bench make-dataset`.")],
    recipe: Annotated[list[str], typer.Option(help="A recipe's name or a YAML file; the first is the one to beat.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[[RECIPE:]KEY=VALUE]...", help="Over the recipes: epochs=4.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=99, help="Runs of each recipe.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder of the runs.")] = Path("artifacts/comparison"),
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `distill.__main__`."""
    with one_line_errors():
        keep_freed_memory()
        from distill.comparison.compare import compare as compare_recipes
        from distill.comparison.compare import recipe_configs

        configs = recipe_configs(recipe, os.path.relpath(images), overrides or ())
        rows = compare_recipes(configs, dataset, seeds, out, _say_run)
        typer.echo(json.dumps({"rows": [asdict(row) for row in rows]}) if as_json else comparison_text(rows))


def _say_run(run: Run) -> None:
    typer.echo(f"{run.recipe}, seed {run.seed}: micro-AP {run.micro_ap:.4f} (measured)", err=True)


def comparison_text(rows: list[Row]) -> str:
    """A Markdown table, the best first; every figure in it is measured."""
    lines = [
        "| recipe | micro-AP (95 % interval) | seeds | recall@P90 | views | time a run | behind the first (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        behind = "" if row.behind_first is None else "{:+.3f} ({:+.3f}..{:+.3f})".format(*row.behind_first)
        time = "not measured" if row.seconds is None else f"{row.seconds / 60:.1f} min"
        seeds = ", ".join(f"{value:.3f}" for value in row.of_seeds)
        lines.append(
            f"| {row.recipe} | {row.micro_ap:.3f} ({row.interval[0]:.3f}..{row.interval[1]:.3f}) | {seeds} "
            f"| {row.recall_at_p90:.3f} | {row.num_views:,} | {time} | {behind} |"
        )
    return "\n".join(lines)
