"""`python -m bench embed`: the descriptors of a large set, once, by every core or a cluster, through any interrupt."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devices.base import DeviceError
from icd_mobile.cli import one_line_errors, sigterm_cleans_up
from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from bench.descriptors.embed import Embedded, EmbedPlan

HELP = (
    "Embed a whole dataset with each bundle on this computer, or on a Ray cluster, and keep the descriptors.\n\n"
    "What is finished stays: after an interrupt the same command goes on, and ends with the same bytes. "
    "python -m bench run reads what is here, so that a large set is embedded once. On a cluster the dataset, the "
    "bundles and --out must lie on storage that every machine has under the same path."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench embed --dataset photos --bundle artifacts/bundles",
        "Example: python -m bench embed --dataset photos --bundle artifacts/bundles --engine ray --out /shared/store",
        "Example: python -m bench embed --dataset photos --bundle artifacts/bundles --baseline none --write-hdf5 parts",
    ]
)
MAX_NAMED = 10


def embed(
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle or a folder of bundles; repeatable.", show_default="artifacts/bundles"),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(help="'sample', 'copydays', 'disc', or a folder with references/, queries/, ground_truth.csv."),
    ] = "sample",
    baseline: Annotated[
        str, typer.Option(help="The student to embed with too, as 'run' does, by name or checkpoint; or 'none'.")
    ] = "default",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Processes of this computer, or Ray Data.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; without it RAY_ADDRESS, else Ray is started here.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Workers of one thread each.", show_default="one a core")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all descriptors.")] = Path("artifacts/descriptors"),
    write_hdf5: Annotated[
        Path | None, typer.Option(help="Also write queries.h5, references.h5, training.h5 below this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors(DeviceError), sigterm_cleans_up():
        if address is not None and engine != "ray":
            raise InputError("--address is of a Ray cluster; add --engine ray")
        from bench.descriptors.embed import EmbedPlan
        from bench.descriptors.embed import embed as embed_dataset
        from bench.descriptors.hdf5 import write_parts
        from bench.descriptors.screen import EmbedScreen

        plan = EmbedPlan(
            bundles=bundle or [Path("artifacts/bundles")],
            baseline=baseline,
            dataset=dataset,
            datasets_dir=Path("artifacts/datasets"),
            out=out,
            engine=engine,
            address=address,
            num_workers=workers,
        )
        with EmbedScreen() as screen:
            images, done = embed_dataset(plan, screen)
        parts: dict[str, list[Path]] = {}
        if write_hdf5 is not None:
            for one in done:
                name = one.store.key.artifact
                parts[name] = write_parts(write_hdf5 / name, images, one.store)
        if as_json:
            typer.echo(json.dumps({"stores": [_plain(one, parts) for one in done]}))
        else:
            _print(done, parts, plan)


def _plain(one: Embedded, parts: dict[str, list[Path]]) -> dict[str, object]:
    key = one.store.key
    return {
        "artifact": key.artifact,
        "store": str(one.store.folder),
        "dataset": key.dataset,
        "num_images": key.num_images,
        "num_dims": key.num_dims,
        "num_shards": one.store.num_shards,
        "num_shards_embedded": one.num_shards,
        "num_images_embedded": one.num_images,
        "images_per_s": one.images_per_s,
        "images_per_s_evidence": "not measured" if one.images_per_s is None else "measured",
        "num_skipped": len(one.skipped),
        "skipped": [row.image for row in one.skipped[:MAX_NAMED]],
        "hdf5": [str(path) for path in parts.get(key.artifact, [])],
    }


def _print(done: list[Embedded], parts: dict[str, list[Path]], plan: EmbedPlan) -> None:
    for one in done:
        key = one.store.key
        new = (
            f"{one.num_images:,} of them in this run, {one.images_per_s:,.1f} images/s (measured)"
            if one.images_per_s is not None
            else "all of them there before"
        )
        typer.echo(f"{key.artifact}: {key.num_images:,} descriptors of {key.num_dims} dimensions, {new}")
        typer.echo(f"  {one.store.folder}")
        for path in parts.get(key.artifact, []):
            typer.echo(f"  {path}")
    skipped = done[0].skipped
    if skipped:
        typer.echo(
            f"\nCould not be read, listed in each skipped.csv: {len(skipped):,} of {done[0].store.key.num_images:,}"
        )
        for row in skipped[:MAX_NAMED]:
            typer.echo(f"  {row.image}: {row.reason}")
    again = [word for path in plan.bundles for word in ("--bundle", str(path))]
    again += ["--dataset", plan.dataset, "--baseline", plan.baseline, "--descriptors", str(plan.out)]
    typer.echo(f"\nNext: {shlex.join(['python', '-m', 'bench', 'run', *again])}")
