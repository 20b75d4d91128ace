"""Exact search by inner product."""

from __future__ import annotations

import numpy as np
import pytest

from bench.search import nearest
from distill.errors import InputError


def unit_rows(num_rows: int, num_dims: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, num_dims)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_candidates_are_those_of_a_full_sort() -> None:
    queries, references = unit_rows(30, 16, seed=0), unit_rows(200, 16, seed=1)
    found = nearest(queries, references, k=10)
    similarity = queries.astype(np.float64) @ references.astype(np.float64).T
    expected = np.argsort(-similarity, axis=1)[:, :10]
    assert np.array_equal(found.references.reshape(30, 10), expected)
    assert np.array_equal(found.queries, np.repeat(np.arange(30), 10))
    np.testing.assert_allclose(found.scores.reshape(30, 10), np.take_along_axis(similarity, expected, 1), atol=1e-6)


def test_fewer_references_than_k_gives_each_of_them_once() -> None:
    found = nearest(unit_rows(2, 8, seed=0), unit_rows(3, 8, seed=1), k=10)
    assert sorted(found.references.reshape(2, 3)[0]) == [0, 1, 2]


def test_dimensions_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="8 dimensions, references 16"):
        nearest(unit_rows(2, 8, seed=0), unit_rows(3, 16, seed=1), k=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_descriptor_that_is_not_unit_is_named(value: float) -> None:
    references = unit_rows(5, 8, seed=1)
    references[3, 0] = value
    with pytest.raises(InputError, match="reference descriptor 3 "):
        nearest(unit_rows(2, 8, seed=0), references, k=1)
