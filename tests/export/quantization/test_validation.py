"""The benchmark of a search: judged by bench's definition, apart from calibration and test."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.quantization.validation import Benchmark, read_benchmark, read_dataset_of, spread
from icd_mobile.errors import InputError


def _nothing(_done: int, _all: int) -> None: ...


@pytest.fixture
def judged_on(benchmark_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    monkeypatch.chdir(tmp_path)
    return read_benchmark(read_dataset_of(str(benchmark_dir), _nothing), 32, _nothing)


def test_queries_and_references_are_read_and_training_is_not(judged_on: Benchmark) -> None:
    assert (judged_on.num_queries, judged_on.num_references, judged_on.num_pairs) == (4, 6, 3)
    assert judged_on.pixels.shape == (10, 32, 32, 3)


def test_micro_ap_is_that_of_the_candidates_by_hand(judged_on: Benchmark) -> None:
    """q0 -> r0 at 1 is right; q1 -> r0 at 1 ties with it and is wrong, so it comes first; q1 -> r1 and q2 -> r2 at 0
    tie with all the other wrong candidates: 24 in all, 21 of them wrong. (1 / 2 + 2 / 23 + 3 / 24) / 3.
    """
    references = np.eye(6, 64, dtype=np.float32)
    queries = np.zeros((4, 64), dtype=np.float32)
    queries[[0, 1, 2, 3], [0, 0, 40, 41]] = 1.0
    found = judged_on.micro_ap(queries, references)
    assert found == pytest.approx((1 / 2 + 2 / 23 + 3 / 24) / 3)


def test_perfect_descriptors_have_micro_ap_one(judged_on: Benchmark) -> None:
    queries = np.eye(7, 64, dtype=np.float32)[[0, 1, 2, 6]]
    assert judged_on.micro_ap(queries, np.eye(6, 64, dtype=np.float32)) == 1.0


@pytest.mark.parametrize("name", ["sample", "sample-v1"])
def test_the_sample_is_for_testing(name: str, benchmark_dir: Path, tmp_path: Path) -> None:
    if name != "sample":
        name = str(shutil.copytree(benchmark_dir, tmp_path / name))
    with pytest.raises(InputError, match="cannot be the sample"):
        read_dataset_of(name, _nothing)


def test_a_missing_folder_is_answered_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no .*nowhere; make one: python -m bench make-dataset"):
        read_dataset_of(str(tmp_path / "nowhere"), _nothing)


def test_rows_are_spread_evenly() -> None:
    assert list(spread(10, 4)) == [0, 3, 6, 9]
    assert list(spread(3, 32)) == [0, 1, 2]
