"""`python -m bench prepare`: get a dataset that can be downloaded, say how to ask for one that cannot, check either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError, unknown_name

if TYPE_CHECKING:
    from icd_mobile.datasets.tree_check import Part, TreeCheck

INCOMPLETE, OUTSIDE = 1, 3
HELP = (
    "Get a dataset, or check one that is there.\n\n"
    "sample: made from photographs in installed packages. copydays: the originals and the strong copies are "
    "downloaded; jpegqual and crops are asked for by hand. disc: all is asked for by hand, for its licence. A download "
    "that was cut off goes on where it stopped.\n\n"
    "Exit codes: 0 everything needed is there; 1 --check found something missing; 2 wrong use or bad input; 3 "
    "something must come from outside: the network, or your request."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench prepare copydays",
        "Example: python -m bench prepare copydays --distractors ~/photos",
        "Example: python -m bench prepare disc --check /data/disc21 --json",
    ]
)


def prepare(
    name: Annotated[str, typer.Argument(metavar="sample|copydays|disc", help="Which dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the datasets.")] = Path("artifacts/datasets"),
    check: Annotated[Path | None, typer.Option(help="Only check this tree; nothing is fetched.")] = None,
    distractors: Annotated[Path | None, typer.Option(help="Copydays: a folder of images without copies.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors():
        from icd_mobile.datasets.prepared import COPYDAYS, NAMES

        if name not in NAMES:
            raise unknown_name("dataset", name, NAMES)
        if distractors is not None and (name != COPYDAYS or check is not None):
            raise InputError("--distractors goes with `prepare copydays` without --check; leave it out")
        if check is not None and not check.is_dir():
            raise InputError(f"no folder {check}; give the tree to check")
        found = _check(name, check) if check is not None else _fetch(name, out, distractors)
        if as_json:
            typer.echo(json.dumps(_plain(name, found)))
        else:
            _print(name, found)
        if not found.is_whole:
            raise typer.Exit(INCOMPLETE if check is not None else OUTSIDE)


def _fetch(name: str, out: Path, distractors: Path | None) -> TreeCheck:
    from icd_mobile.datasets.prepared import COPYDAYS, SAMPLE

    folder = out / name
    if name == SAMPLE:
        from bench.run.screen import Screen
        from icd_mobile.datasets.sample import build_sample

        with Screen() as screen:
            folder = build_sample(out, lambda done, total: screen.preparing("making the sample", done, total))
    elif name == COPYDAYS:
        from icd_mobile.datasets.copydays_fetch import fetch_copydays, link_distractors

        folder.mkdir(parents=True, exist_ok=True)
        if distractors is not None:
            link_distractors(folder, distractors)
        fetch_copydays(folder)
    return _check(name, folder)


def _check(name: str, folder: Path) -> TreeCheck:
    from icd_mobile.datasets.prepared import COPYDAYS, DISC

    if name == COPYDAYS:
        from icd_mobile.datasets.copydays_fetch import check_copydays

        return check_copydays(folder)
    if name == DISC:
        from icd_mobile.datasets.disc_check import check_disc

        return check_disc(folder)
    from icd_mobile.datasets.own_layout import check_own_layout

    return check_own_layout(folder)


def _plain(name: str, found: TreeCheck) -> dict[str, object]:
    from dataclasses import asdict

    parts = [asdict(part) | {"is_whole": part.is_whole} for part in found.parts]
    return {"dataset": name, "folder": str(found.folder), "is_whole": found.is_whole, "parts": parts}


def _print(name: str, found: TreeCheck) -> None:
    from icd_mobile.datasets.prepared import DISC

    for part in found.parts:
        typer.echo(f"{part.name:<16} {_count(part)}")
        if not part.is_whole:
            typer.echo(f"{'':<16} missing: {part.missing or 'names not known'}")
            typer.echo(f"{'':<16} from: {part.source}")
    if found.is_whole:
        typer.echo(f"\nNext: python -m bench run --dataset {found.folder}")
    elif name == DISC:
        from icd_mobile.datasets.disc_check import how_to_ask

        typer.echo("\n" + "\n".join(how_to_ask(found.folder)))


def _count(part: Part) -> str:
    needed = "" if part.is_needed or part.is_whole else "   (not needed: less is judged without it)"
    return f"{part.num_found:,} of {part.num_expected:,}{needed}" if part.num_expected else f"{part.num_found:,}"
