"""`python -m bench calibration-spread`: one student calibrated on two halves of a folder, both judged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devices.base import DeviceError
from export.targets.table import TARGETS, find_target
from icd_mobile.cli import one_line_errors, sigterm_cleans_up

if TYPE_CHECKING:
    from bench.run.calibration_spread import Spread

*FIRST_TARGETS, LAST_TARGET = TARGETS
HELP = (
    "How much an int8 artifact depends on its calibration: two disjoint halves of a folder of photographs give two "
    "models, and the spread of their micro-AP is printed.\n\n"
    "The halves follow from the files' hashes, at most 32 photographs each; copies of one photograph count once. "
    "Photographs that the dataset judges are refused."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench calibration-spread --calibration my-photos",
        "Example: python -m bench calibration-spread --calibration my-photos --student runs/best.safetensors "
        "--target tflite --dataset my-benchmark --json",
    ]
)


def calibration_spread(
    calibration: Annotated[Path, typer.Option(help="Folder of photographs, 64 or more at best.")],
    student: Annotated[str, typer.Option(help="The student, by name or checkpoint.")] = "default",
    target: Annotated[str, typer.Option(help=f"{', '.join(FIRST_TARGETS)} or {LAST_TARGET}.")] = "onnx",
    dataset: Annotated[
        str, typer.Option(help="'sample'; 'copydays' or 'disc', once prepared; or a dataset's folder.")
    ] = "sample",
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the runtime.")] = 1,
    descriptors: Annotated[Path, typer.Option(help="Folder where descriptors are kept.")] = Path(
        "artifacts/descriptors"
    ),
    out: Annotated[Path, typer.Option(help="Folder for both bundles.")] = Path("artifacts/calibration-spread"),
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(DeviceError), sigterm_cleans_up():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from bench.descriptors.fill import EmbedPlan
        from bench.run.calibration_spread import SpreadPlan
        from bench.run.calibration_spread import calibration_spread as measure
        from devices.base import open_device
        from distill.students.checkpoint import open_student
        from icd_mobile.datasets.prepared import DATASETS_DIR, PIXELS_FOLDER, dataset_place
        from icd_mobile.datasets.read import read_dataset
        from icd_mobile.quiet import terminal

        find_target(target)
        columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with (
            os.fdopen(terminal(), "w") as stream,  # what converters print to standard error is kept from it
            Progress(*columns, console=Console(file=stream), transient=True) as bar,
            open_device("host") as host,
        ):
            task = bar.add_task("starting")

            def on_step(what: str) -> None:
                bar.update(task, description=what)

            def on_image(done: int, total: int) -> None:
                on_step(f"making the sample (once): image {done} of {total}")

            plan = SpreadPlan(
                checkpoint=open_student(student),
                target=target,
                calibration=calibration,
                dataset=read_dataset(dataset_place(dataset, DATASETS_DIR, on_image)),
                embedding=EmbedPlan(descriptors, DATASETS_DIR / PIXELS_FOLDER, threads),
                out=out,
            )
            found = measure(plan, host, on_step)
        if as_json:
            typer.echo(json.dumps(_plain(found)))
        else:
            _print(found)


def _plain(found: Spread) -> dict[str, object]:
    return {
        "student": found.student,
        "target": found.target,
        "precision": "int8",
        "evidence": found.evidence,
        "dataset": found.halves[0].accuracy.dataset,
        "dataset_sha256": found.halves[0].accuracy.dataset_sha256,
        "halves": [
            {
                "bundle": str(half.bundle_dir),
                "num_images": half.num_images,
                "micro_ap": half.accuracy.micro_ap,
                "micro_ap_low": half.accuracy.micro_ap_low,
                "micro_ap_high": half.accuracy.micro_ap_high,
            }
            for half in found.halves
        ],
        "micro_ap_spread": found.micro_ap,
    }


def _print(found: Spread) -> None:
    from bench.report.recommend import MAX_MICRO_AP_LOSS

    typer.echo(f"{found.student} on {found.target}, int8, judged on {found.halves[0].accuracy.dataset}:")
    for number, half in enumerate(found.halves, start=1):
        one = half.accuracy
        between = f"95 % interval {one.micro_ap_low:.4f}..{one.micro_ap_high:.4f}"
        typer.echo(f"  half {number}: {half.num_images} photographs, micro-AP {one.micro_ap:.4f}, {between}")
    than = "within" if found.micro_ap <= MAX_MICRO_AP_LOSS else "more than"
    typer.echo(f"  spread of micro-AP {found.micro_ap:.4f}: {than} the {MAX_MICRO_AP_LOSS} that a precision may lose")
    typer.echo(f"\nEvery figure above is {found.evidence}. Next: compare with fp32, or calibrate on more photographs:")
    typer.echo(f"  python -m bench run --bundle {found.halves[0].bundle_dir}")
