"""DISC as descriptors: files of the challenge's own names and shapes, judged by `python -m bench evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bench.__main__ import app

REFERENCES = ("R000000", "R000007", "R050000", "R999999")  # the axes, so that a query's row is its scores
QUERIES = {
    "Q00000": (0.6, 0.8, 0, 0),
    "Q00001": (1, 0, 0, 0),
    "Q24999": (0.8, 0, 0, 0.6),
    "Q25000": (0, 0, 0, 1),
    "Q49999": (0, 1, 0, 0),
}
PUBLIC = "query_id,reference_id\nQ00000,R000007\nQ00001,\nQ24999,R999999\n"
DEV = "Q00000,R000007\nQ00001,\nQ24999,R999999\nQ25000,R050000\nQ49999,\n"  # without a header, as Meta gives it out
# Public: a negative at 1; at 0.8 a negative and a match, 1 of 3; at 0.6 a negative and a match, 2 of 5.
PUBLIC_MICRO_AP = (1 / 3 + 2 / 5) / 2
# All: three negatives at 1; at 0.8 a negative and a match, 1 of 5; at 0.6 the same, 2 of 7; at 0 the last of 20.
DEV_MICRO_AP = (1 / 5 + 2 / 7 + 3 / 20) / 3


def write_part(path: Path, names: list[str], rows: np.ndarray) -> None:
    """As the challenge's starter code writes descriptors: float32 rows and names as ASCII bytes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("vectors", data=np.ascontiguousarray(rows, dtype="float32"))
        file.create_dataset("image_names", data=np.array([name.encode("ascii") for name in names]))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The references in a part for each 50,000 that are there, the queries as 25k and 50k, and as one submission."""
    monkeypatch.chdir(tmp_path)
    axes, rows = np.eye(4), np.array([*QUERIES.values()])
    for part, which in ((0, [0, 1]), (1, [2]), (19, [3])):
        write_part(Path(f"references_{part}_x.hdf5"), [REFERENCES[index] for index in which], axes[which])
    write_part(Path("dev_queries_25k_x.hdf5"), [*QUERIES][:3], rows[:3])
    write_part(Path("dev_queries_x.hdf5"), [*QUERIES], rows)
    with h5py.File("fb-isc-submission.h5", "w") as file:
        file.create_dataset("query", data=rows.astype("float32"))
        file.create_dataset("reference", data=axes.astype("float32"))
        file.create_dataset("query_ids", data=[*QUERIES])
        file.create_dataset("reference_ids", data=list(REFERENCES))
    Path("list_files").mkdir()
    Path("list_files/public_ground_truth.csv").write_text(PUBLIC)
    Path("dev_queries_groundtruth.csv").write_text(DEV)
    return tmp_path


def evaluate(truth: str, queries: str, *references: str) -> Result:
    words = ["--ground-truth", truth, "--queries", queries]
    return CliRunner().invoke(
        app, ["evaluate", *words, *(w for r in references for w in ("--references", r)), "--json"]
    )


PARTS = tuple(f"references_{part}_x.hdf5" for part in (0, 1, 19))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("truth", "queries", "references", "micro_ap"),
    [
        ("list_files/public_ground_truth.csv", "dev_queries_25k_x.hdf5", PARTS, PUBLIC_MICRO_AP),
        ("dev_queries_groundtruth.csv", "dev_queries_x.hdf5", PARTS, DEV_MICRO_AP),
        ("dev_queries_groundtruth.csv", "fb-isc-submission.h5", ("fb-isc-submission.h5",), DEV_MICRO_AP),
    ],
)
def test_both_splits_and_both_forms_are_judged_to_the_last_digit(
    truth: str, queries: str, references: tuple[str, ...], micro_ap: float
) -> None:
    done = evaluate(truth, queries, *references)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["micro_ap"] == pytest.approx(micro_ap, abs=1e-15)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("truth", "queries", "references", "message"),
    [
        ("list_files/public_ground_truth.csv", "dev_queries_x.hdf5", PARTS, "row 3 ('Q25000') is not in list_files"),
        ("dev_queries_groundtruth.csv", "dev_queries_25k_x.hdf5", PARTS, "row 4: no query 'Q25000' in dev_queries_25k"),
        (
            "dev_queries_groundtruth.csv",
            "dev_queries_x.hdf5",
            PARTS[:2],
            "row 3: no reference 'R999999' in references_0",
        ),
        ("dev_queries_groundtruth.csv", "dev_queries_x.hdf5", (*PARTS, PARTS[0]), "row 0 ('R000000') has the id of"),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(
    truth: str, queries: str, references: tuple[str, ...], message: str
) -> None:
    done = evaluate(truth, queries, *references)
    assert (done.exit_code, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert message in done.stderr


@pytest.mark.usefixtures("files")
def test_predictions_without_a_header_are_read_as_the_challenge_does() -> None:
    Path("p.csv").write_text("Q00000,R000007,0.9\nQ24999,R000000,0.95\n")
    done = CliRunner().invoke(
        app, ["evaluate", "--ground-truth", "dev_queries_groundtruth.csv", "--predictions", "p.csv", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["micro_ap"] == pytest.approx(1 / 2 / 3, abs=1e-15)
