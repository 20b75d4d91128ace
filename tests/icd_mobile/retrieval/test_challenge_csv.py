"""The challenge's CSV files: what is read, and what is refused with its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icd_mobile.datasets.ground_truth import read_ground_truth, write_ground_truth
from icd_mobile.errors import InputError
from icd_mobile.retrieval import challenge_csv
from icd_mobile.retrieval.challenge_csv import read_predictions, write_predictions
from icd_mobile.retrieval.micro_ap import Candidates

TRUTH = "query_id,reference_id\nQ0,R0\nQ1,R1\nQ2,\n"
PREDICTIONS = "query_id,reference_id,score\nQ0,R0,0.9\nQ2,R7,0.5\n"


def file(folder: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_ground_truth_has_its_queries_in_order_and_its_pairs(tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, TRUTH))
    assert truth.query_ids == ("Q0", "Q1", "Q2")
    assert list(truth.pairs) == [("Q0", "R0"), ("Q1", "R1")]
    assert truth.names_every_query


def test_a_query_may_have_several_references(tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, "query_id,reference_id\nQ0,R0\nQ0,R1\n"))
    assert truth.query_ids == ("Q0",)
    assert len(truth.pairs) == 2


def test_predictions_become_indexes_over_the_ground_truths_queries(tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, TRUTH, "truth.csv"))
    found = read_predictions(file(tmp_path, PREDICTIONS), truth)
    assert found.num_queries == 3
    assert found.pairs.tolist() == [[0, 0], [1, 1]]
    assert found.candidates.queries.tolist() == [0, 2]
    assert found.candidates.references.tolist() == [0, 2]  # R7 is new
    assert found.candidates.scores.tolist() == [0.9, 0.5]


def test_no_prediction_at_all_is_read(tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, TRUTH, "truth.csv"))
    assert len(read_predictions(file(tmp_path, "query_id,reference_id,score\n"), truth).candidates.scores) == 0


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_byte_order_mark_and_crlf_change_nothing(change: object, tmp_path: Path) -> None:
    plain = read_ground_truth(file(tmp_path, TRUTH))
    changed = read_ground_truth(file(tmp_path, change(TRUTH), "changed.csv"))
    assert (changed.query_ids, changed.pairs) == (plain.query_ids, plain.pairs)
    found = read_predictions(file(tmp_path, change(PREDICTIONS), "p.csv"), plain)
    assert found.candidates.scores.tolist() == [0.9, 0.5]


def test_ground_truth_of_matched_queries_alone_lets_others_be_predicted(tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, "query_id,reference_id\nQ0,R0\n", "truth.csv"))
    found = read_predictions(file(tmp_path, "query_id,reference_id,score\nQ0,R0,0.9\nQ9,R0,0.95\n"), truth)
    assert found.num_queries == 2
    assert found.candidates.queries.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "row 1: needs the header 'query_id,reference_id', got ''"),
        ("Q0,R0\nQ1,\n", "row 1: needs the header"),
        ("query_id,reference_id\nQ0,R0,0.5\n", "row 2: needs 2 columns, got 3"),
        ("query_id,reference_id\nQ0,R0\n\nQ1,\n", "row 3: needs 2 columns, got 0"),
        ("query_id,reference_id\nQ0,R0\nQ0,R0\n", "row 3: query 'Q0' contradicts or repeats row 2"),
        ("query_id,reference_id\nQ0,R0\nQ0,\n", "row 3: query 'Q0' contradicts or repeats row 2"),
        ("query_id,reference_id\nQ0,\nQ0,R0\n", "row 3: query 'Q0' contradicts or repeats row 2"),
        ("query_id,reference_id\n,R0\n", "row 2: the query id is empty"),
        ("query_id,reference_id\nQ0, R0\n", "row 2: has spaces"),
        ("query_id,reference_id\nQ0,\n", "names no matching pair"),
        (b"query_id,reference_id\nQ0,R0\nQ\xff,R0\n", "row 3: is not UTF-8"),
        ('query_id,reference_id\n"Q0,R0\n', "row 2: unexpected end of data"),
    ],
)
def test_bad_ground_truth_is_named_with_its_row(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = file(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_ground_truth(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("Q0,R0,0.9\nQ0,R0,0.8\n", "row 3: (Q0, R0) is in row 2 already"),
        ("Q0,R0,0.9\nQ5,R0,0.8\n", "row 3: no query 'Q5' in"),
        ("Q0,,0.9\n", "row 2: the reference id is empty"),
        ("Q0,R0,nan\n", "row 2: the score must be a finite number, got 'nan'"),
        ("Q0,R0,inf\n", "row 2: the score must be a finite number"),
        ("Q0,R0,0_9\n", "row 2: the score must be a finite number, got '0_9'"),
        ("Q0,R0,high\n", "row 2: the score must be a finite number, got 'high'"),
        ("Q0,R0\n", "row 2: needs 3 columns, got 2"),
    ],
)
def test_bad_prediction_is_named_with_its_row(rows: str, message: str, tmp_path: Path) -> None:
    truth = read_ground_truth(file(tmp_path, TRUTH, "truth.csv"))
    path = file(tmp_path, "query_id,reference_id,score\n" + rows)
    with pytest.raises(InputError) as error:
        read_predictions(path, truth)
    assert f"{path} {message}" in str(error.value)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*absent\.csv"):
        read_ground_truth(tmp_path / "absent.csv")


def test_more_predictions_than_the_challenge_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge_csv, "MAX_CANDIDATES", 1)
    truth = read_ground_truth(file(tmp_path, TRUTH, "truth.csv"))
    with pytest.raises(InputError, match="over 1 predictions"):
        read_predictions(file(tmp_path, PREDICTIONS), truth)


def test_what_is_written_reads_back_to_the_last_digit(tmp_path: Path) -> None:
    write_ground_truth(tmp_path / "g.csv", ["Q0", "Q1"], [("Q0", "R1"), ("Q0", "R0")])
    assert (tmp_path / "g.csv").read_bytes() == b"query_id,reference_id\nQ0,R1\nQ0,R0\nQ1,\n"
    score = float(np.nextafter(0.1, 1))
    candidates = Candidates(np.array([0, 1]), np.array([1, 0]), np.array([score, -1e-300]))
    write_predictions(tmp_path / "p.csv", candidates, ["Q0", "Q1"], ["R0", "R1"])
    found = read_predictions(tmp_path / "p.csv", read_ground_truth(tmp_path / "g.csv"))
    assert found.candidates.scores.tolist() == [score, -1e-300]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.csv", "p.csv"]
