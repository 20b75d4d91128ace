"""`python -m export`: a student checkpoint to app-ready bundles, or --verify of one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.targets.table import TARGETS
from icd_mobile.allocator import keep_freed_memory
from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EXAMPLES = """Examples:

  python -m export --target coreml

  python -m export --target all --precision all --out artifacts/bundles

  python -m export --target tflite --precision int8 --calibration my-photos/ --student runs/best.safetensors

  python -m export --target onnx --precision int8 --calibration my-photos/ --disjoint-from my-benchmark/

  python -m export --target all --precision int8 --max-drop 0.005 --validation artifacts/datasets/mine

  python -m export --verify artifacts/bundles/efficientnet_lite0-onnx-int8
"""


@app.command(
    help="Turn a student checkpoint into bundles for phones: model, manifest, golden images, model card.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)
def main(
    target: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(TARGETS)}, or all; repeatable.", show_default=False),
    ] = None,
    student: Annotated[
        str,
        typer.Option(
            help="'default', a checkpoint, or resnet18, efficientnet_b0, mobilenetv3_large, "
            "mobilenetv4_conv_small, vit_small, mobilevit_s, efficientnet_lite0 to lite2 at random weights (right "
            "about cost, useless for detection)."
        ),
    ] = "default",
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="fp32, fp16, int8, all of these, or w8a16 (TFLite); repeatable.",
            show_default="the target's recommended one",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs for INT8 ranges.", show_default="the embedded sample's"),
    ] = None,
    disjoint_from: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a benchmark that must have none of the calibration's photographs, nor a copy; repeatable.",
            metavar="BENCHMARK",
            show_default="the embedded sample",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="The micro-AP that int8 may lose, such as 0.005: searches for what keeps it (docs/int8.md).",
            show_default="no search",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="Benchmark for --max-drop: a folder that bench make-dataset wrote, copydays or disc.",
            show_default="pictures made by code",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the bundles.")] = Path("artifacts/bundles"),
    overwrite: Annotated[bool, typer.Option(help="Replace bundles that are there already.")] = False,
    verify: Annotated[
        list[Path] | None,
        typer.Option(
            help="Check a bundle: every file's hash, then its golden images; repeatable.",
            metavar="BUNDLE",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    with one_line_errors():
        if verify:
            if target or precision or calibration or disjoint_from or validation or max_drop is not None:
                raise InputError("--verify checks bundles and takes no export options; leave those out")
            from export.bundle.verify import verify_bundles

            verify_bundles(verify, as_json)
            return
        keep_freed_memory()
        if validation is not None and max_drop is None:
            raise InputError("--validation is for --max-drop; add --max-drop 0.005, or leave it out")
        from export.quantization.budget import Budget

        budget = None if max_drop is None else Budget(max_drop, validation)
        from export.command import run_export

        exit_code = run_export(
            target or [], student, precision or [], calibration, out, overwrite, as_json, disjoint_from or [], budget
        )
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    app()
