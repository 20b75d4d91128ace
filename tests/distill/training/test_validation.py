"""Validation gives the bench's own figures."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from distill.students.student import Student
from distill.training.validation import open_validation
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError


def _dataset(folder: Path, num_pictures: int, num_matched: int) -> Path:
    """Each query is its reference, unedited, for the first `num_matched` of them; the others are not references."""
    for part in ("references", "queries"):
        (folder / part).mkdir(parents=True)
    rows = [("query_id", "reference_id")]
    for seed in range(num_pictures):
        procedural_picture(seed, (64, 64)).save(folder / "references" / f"r{seed}.png")
        matched = seed < num_matched
        procedural_picture(seed if matched else 100 + seed, (64, 64)).save(folder / "queries" / f"q{seed}.png")
        rows.append((f"q{seed}", f"r{seed}" if matched else ""))
    with (folder / "ground_truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_unedited_copies_are_found_whatever_the_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture's cosine with itself is 1, which no other pair reaches: micro-AP 1."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    judge = open_validation(str(_dataset(tmp_path / "set", 6, 4)), 64)
    found = judge(Student("resnet18", 64, 64), torch.device("cpu"))
    assert (found.micro_ap, found.recall_at_p90) == (pytest.approx(1.0), 1.0)


def test_a_set_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        open_validation(str(tmp_path / "empty"), 64)
