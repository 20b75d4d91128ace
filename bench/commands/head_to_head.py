"""`python -m bench head-to-head`: students, their teacher, rivals and hashes on one dataset, in one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.cli import one_line_errors, sigterm_cleans_up
from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from bench.rivals.duel import HeadToHead

BUNDLES_DIR = Path("artifacts/bundles")
SUFFIXES = (".svg", ".md")

HELP = (
    "Judge students, the teacher, others' students and perceptual hashes (PDQ, pHash) on one dataset, and time them in "
    "turns on one thread.\n\n"
    "What is not installed is a row that says what brings it. Nothing is fetched but the sample."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench head-to-head --dataset artifacts/datasets/mine --out head-to-head.svg",
        "Example: python -m bench head-to-head --dataset copydays --bundle artifacts/bundles --rival "
        "sscd_distilled@224 --rival sscd_distilled@288 --json",
    ]
)


def head_to_head(
    dataset: Annotated[str, typer.Option(help="sample, copydays, disc, or a folder.")] = "sample",
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            help="A bundle or a folder of bundles; repeatable. The first is what times are compared with.",
            show_default="artifacts/bundles where it is there",
        ),
    ] = None,
    teacher: Annotated[
        str, typer.Option(help="A teacher's name or file, with its size after @; 'none' for none.")
    ] = "sscd_disc_mixup@288",
    rival: Annotated[
        list[str] | None,
        typer.Option(
            help="Another's student: sscd_distilled, or an ONNX file that takes (N, S, S, 3) uint8, with its size "
            "after @; repeatable; 'none' for none.",
            show_default="sscd_distilled@224",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in turns that p50 is of.")] = 200,
    out: Annotated[
        list[Path] | None,
        typer.Option(help="Write micro-AP against p50 as a picture (.svg), or the table (.md); repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(), sigterm_cleans_up():
        for path in out or []:
            if path.suffix not in SUFFIXES:
                raise InputError(f"--out needs a file that ends in {' or '.join(SUFFIXES)}, got {path}")
        import tempfile

        from bench.rivals.duel import head_to_head as run
        from bench.rivals.field import line_up
        from icd_mobile.datasets.prepared import DATASETS_DIR, dataset_place
        from icd_mobile.datasets.read import read_dataset
        from icd_mobile.extras import require
        from icd_mobile.progress import image_steps

        require("faiss")
        data = read_dataset(dataset_place(dataset, DATASETS_DIR).absolute())
        bundles = bundle or ([BUNDLES_DIR] if BUNDLES_DIR.is_dir() else [])
        with tempfile.TemporaryDirectory() as folder, image_steps() as on_step:
            field = line_up(bundles, teacher, rival or ["sscd_distilled@224"], Path(folder))
            found = run(field, data, rounds, on_step)
        if as_json:
            from dataclasses import asdict

            typer.echo(json.dumps(asdict(found)))
        else:
            _print(found)
        for path in out or []:  # last: what took minutes is on the screen, whatever becomes of a file
            _write(found, path)


def _write(found: HeadToHead, out: Path) -> None:
    from bench.rivals.show import markdown, picture
    from icd_mobile.files import write_whole

    text = picture(found) if out.suffix == ".svg" else markdown(found)
    if not text:
        raise InputError(f"nothing was both judged and timed, so there is no picture for {out}; give a bundle")
    write_whole(out, text)


def _print(found: HeadToHead) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.rivals.show import HEADERS, cells, notes

    table = Table(*HEADERS, box=None, header_style="bold", padding=(0, 1, 0, 0))
    for row in found.rows:
        table.add_row(*cells(row))
    console = Console(highlight=False, width=max(160, Console().width))
    console.print(table, crop=False)
    for line in notes(found):
        console.print(line, markup=False, soft_wrap=True)
