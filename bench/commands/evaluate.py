"""`python -m bench evaluate`: the challenge's own files in, micro-AP and its companions out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icd_mobile.cli import one_line_errors
from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from icd_mobile.retrieval.evaluate import Evaluation

HELP = (
    "Judge predictions, or descriptors by a search, against a ground truth: micro-AP and its companions.\n\n"
    "Give --predictions, or --queries and --references. Ground truth: CSV query_id,reference_id, an empty reference "
    "for a query without a match. Predictions: CSV query_id,reference_id,score. Descriptors: HDF5 with vectors and "
    "image_names, in one or more parts, or a submission with query, query_ids, reference, reference_ids, named on both "
    "sides."
)
EXAMPLES = "\n\n".join(
    [
        "Example: python -m bench evaluate --ground-truth G.csv --predictions P.csv --json",
        "Example: python -m bench evaluate --ground-truth G.csv --queries Q.h5 --references R.h5",
        "Example: python -m bench evaluate --ground-truth G.csv --queries Q.h5 --references R.h5 --training T.h5 "
        "--codec PCAW256,L2norm,Flat --beta 1.0",
        "Example: python -m bench evaluate --ground-truth G.csv --queries Q.h5 --references R.h5 --training T.h5 "
        "--index IVF1024,Flat --index-parameters nprobe=16",
    ]
)

EXACT = "Flat"


def evaluate(
    ground_truth: Annotated[Path, typer.Option(help="Ground-truth CSV.")],
    predictions: Annotated[Path | None, typer.Option(help="Predictions CSV, at most 500,000 rows.")] = None,
    queries: Annotated[list[Path] | None, typer.Option(help="HDF5 of the queries; repeatable.")] = None,
    references: Annotated[list[Path] | None, typer.Option(help="HDF5 of the references; repeatable.")] = None,
    training: Annotated[list[Path] | None, typer.Option(help="HDF5 to fit on, never judged; repeatable.")] = None,
    codec: Annotated[str, typer.Option(help="'Flat', or 'PCAWd,L2norm,Flat' fitted on --training.")] = "Flat",
    beta: Annotated[float, typer.Option(min=0, help="Weight of score normalisation by --training; 0 for none.")] = 0.0,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Candidates a query.")] = 10,
    index: Annotated[
        str, typer.Option(help="'Flat', exact, or any FAISS index factory string, not exact: 'IVF1024,Flat', 'HNSW32'.")
    ] = EXACT,
    index_parameters: Annotated[
        str, typer.Option(help="Set on the index before the search: 'nprobe=16', 'efSearch=64'.")
    ] = "",
    global_candidates: Annotated[
        bool, typer.Option("--global-candidates", help="The best 10 x queries pairs of all, at most 500,000.")
    ] = False,
    write_predictions: Annotated[Path | None, typer.Option(help="Write what the search found as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on standard output, nothing else there.")] = False,
) -> None:
    """Registered with `HELP` and `EXAMPLES` by `bench.__main__`."""
    with one_line_errors():
        _check_sides(
            predictions,
            sides=bool(queries and references),
            others=bool(queries or references or training or write_predictions or beta or global_candidates)
            or codec != "Flat"
            or index != EXACT,
        )
        _check_index(index, index_parameters, global_candidates)
        if not math.isfinite(beta):
            raise InputError(f"--beta needs a finite number, got {beta}; SSCD's evaluator uses 1.0")
        from icd_mobile.datasets.ground_truth import read_ground_truth
        from icd_mobile.retrieval.approximate import IndexChoice
        from icd_mobile.retrieval.evaluate import Search, evaluate_descriptors, evaluate_predictions

        truth = read_ground_truth(ground_truth)
        if predictions is not None:
            found = evaluate_predictions(truth, predictions)
        else:
            from icd_mobile.retrieval.descriptor_files import read_descriptors

            choice = None if index == EXACT else IndexChoice(index, index_parameters)
            search = Search(codec, beta, None if global_candidates else k, choice)
            if search.is_fitted and not training:
                raise InputError(f"codec {codec} with beta {beta:g} is fitted; give --training T.h5")
            found = evaluate_descriptors(
                truth,
                read_descriptors(queries or [], "query"),
                read_descriptors(references or [], "reference"),
                read_descriptors(training, "reference") if training else None,
                search,
                write_predictions,
            )
        if as_json:
            from dataclasses import asdict

            typer.echo(json.dumps(asdict(found)))
        else:
            _print(found)


def _check_sides(predictions: Path | None, sides: bool, others: bool) -> None:
    """`sides`: both queries and references are given; `others`: any option of a search is."""
    if predictions is None and not sides:
        raise InputError("needs --predictions P.csv, or both --queries Q.h5 and --references R.h5")
    if predictions is not None and others:
        raise InputError("--predictions are judged as they are; leave out the options of descriptors")


def _check_index(index: str, parameters: str, global_candidates: bool) -> None:
    if index == EXACT and parameters:
        raise InputError("--index-parameters are of an --index; the exact search has none")
    if index != EXACT and global_candidates:
        raise InputError("--global-candidates are searched exactly; leave out --index, or take --k a query")


def _print(found: Evaluation) -> None:
    threshold = "none: never reached" if found.threshold_at_p90 is None else f"{found.threshold_at_p90:.6g}"
    interval = f"{found.micro_ap_low:.4f}..{found.micro_ap_high:.4f}"
    lines = {
        "micro-AP": f"{found.micro_ap:.4f}   95 % interval over queries {interval}",
        "recall@P90": f"{found.recall_at_p90:.4f}",
        "threshold@P90": threshold,
        "recall@1": f"{found.recall_at_1:.4f}",
        "recall@10": f"{found.recall_at_10:.4f}",
        "accuracy@1": f"{found.accuracy_at_1:.4f}",
        "mAP (trapezoid)": f"{found.mean_ap:.4f}",
        "queries": f"{found.num_queries:,}, {found.num_queries_with_match:,} with a match, {found.num_pairs:,} pairs",
        "candidates judged": f"{found.num_candidates:,}",
    }
    for title, text in (lines | found.configuration).items():
        typer.echo(f"{title:<20} {text}")
    typer.echo("\nEvery figure above was measured by this run.")
