"""What is fitted on training descriptors: whitening, score normalisation, and the guard around both."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from icd_mobile.errors import GateError, InputError
from icd_mobile.retrieval.codecs import fit_codec
from icd_mobile.retrieval.descriptor_files import DescriptorSet, read_descriptors, write_descriptors
from icd_mobile.retrieval.score_normalization import check_apart, score_bias, with_bias, with_one


def unit_rows(num_rows: int, num_dims: int = 8, seed: int = 0) -> np.ndarray:
    """Unlike in their directions, so that whitening has something to do."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num_rows, num_dims)) * np.linspace(0.2, 2, num_dims) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def descriptor_set(path: Path, rows: np.ndarray, letter: str) -> DescriptorSet:
    write_descriptors(path, rows, [f"{letter}{index:04d}" for index in range(len(rows))])
    return read_descriptors([path], "reference")


def test_flat_changes_nothing_and_reads_no_training() -> None:
    rows = unit_rows(5)
    assert fit_codec("Flat", ()).encode(rows) is rows


@pytest.mark.parametrize("num_kept", [8, 3])
def test_whitening_gives_the_inner_products_of_faiss(num_kept: int) -> None:
    """FAISS's factory string of the same name, fitted on the same rows, up to the signs of the axes."""
    name = f"PCAW{num_kept},L2norm,Flat"
    training, rows = unit_rows(500, seed=1), unit_rows(20, seed=2)
    encoded = fit_codec(name, [training[:123], training[123:]]).encode(rows)
    index = faiss.index_factory(8, name)
    index.train(training)
    expected = np.frombuffer(index.sa_encode(rows), dtype=np.float32).reshape(20, -1)
    np.testing.assert_allclose(encoded @ encoded.T, expected @ expected.T, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(encoded, axis=1), 1, atol=1e-6)


def test_whitened_training_has_equal_variances() -> None:
    training = unit_rows(2000, seed=1)
    codec = fit_codec("PCAW8,L2norm,Flat", [training])
    whitened = training @ codec.matrix.T + codec.offset
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(8), atol=1e-3)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "training", "message"),
    [
        ("PCAW9,L2norm,Flat", unit_rows(50), "needs descriptors of 9 dimensions or more, got 8"),
        ("PCAW8,L2norm,Flat", unit_rows(5), "span 8 directions, these span 4"),
        ("PCAW8", unit_rows(50), "unknown codec 'PCAW8'"),
        ("flat", unit_rows(50), "unknown codec 'flat'"),
    ],
)
def test_codec_that_cannot_be_fitted_is_refused(name: str, training: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_codec(name, [training])


def test_bias_is_minus_beta_times_the_mean_of_the_three_largest_cosines() -> None:
    # Against the axes e0..e3 the query (0.8, 0.6, 0, 0) has cosines 0.8, 0.6, 0, 0: mean of the first three 1.4 / 3.
    query = np.array([[0.8, 0.6, 0.0, 0.0]], dtype=np.float32)
    axes = np.eye(4, dtype=np.float32)
    assert score_bias(query, [axes[:1], axes[1:]], beta=1.0) == pytest.approx([-1.4 / 3], abs=1e-6)
    assert score_bias(query, [axes], beta=0.5) == pytest.approx([-0.7 / 3], abs=1e-6)


def test_bias_as_one_more_dimension_is_added_to_every_score() -> None:
    queries, references = unit_rows(4, seed=1), unit_rows(6, seed=2)
    bias = score_bias(queries, [unit_rows(20, seed=3)], beta=1.0)
    scores = with_bias(queries, bias) @ with_one(references).T
    np.testing.assert_allclose(scores, queries @ references.T + bias[:, None], atol=1e-6)


def test_bias_needs_three_training_descriptors() -> None:
    with pytest.raises(InputError, match="needs 3 training descriptors"):
        score_bias(unit_rows(4), [unit_rows(2, seed=1)], beta=1.0)


def test_sets_apart_pass(tmp_path: Path) -> None:
    training = descriptor_set(tmp_path / "t.h5", unit_rows(50, seed=1), "T")
    check_apart(training, descriptor_set(tmp_path / "r.h5", unit_rows(50, seed=2), "R"))


def test_an_id_in_both_sets_is_refused(tmp_path: Path) -> None:
    training = descriptor_set(tmp_path / "t.h5", unit_rows(50, seed=1), "R")
    judged = descriptor_set(tmp_path / "r.h5", unit_rows(7, seed=2), "R")
    with pytest.raises(GateError, match=r"shares 7 of its 50 ids .*t\.h5 row 0 \('R0000'\) with .*r\.h5 row 0"):
        check_apart(training, judged)


def test_a_descriptor_in_both_sets_is_refused_whatever_its_id(tmp_path: Path) -> None:
    rows, judged_rows = unit_rows(50, seed=1), unit_rows(40, seed=2)
    rows[33] = judged_rows[21]
    training = descriptor_set(tmp_path / "t.h5", rows, "T")
    with pytest.raises(
        GateError, match=r"1 of its 50 descriptors .*t\.h5 row 33 \('T0033'\) with .*row 21 \('R0021'\)"
    ):
        check_apart(training, descriptor_set(tmp_path / "r.h5", judged_rows, "R"))
