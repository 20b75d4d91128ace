"""Exact search by inner product."""

from __future__ import annotations

import numpy as np
import pytest

from icd_mobile.errors import InputError
from icd_mobile.retrieval import search
from icd_mobile.retrieval.search import best_pairs, nearest, nearest_in_blocks


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


def in_blocks(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_nearest_does_not_depend_on_the_blocks(size: int) -> None:
    queries, references = unit_rows(30, 16, seed=0), unit_rows(200, 16, seed=1)
    whole = nearest(queries, references, k=10)
    found = nearest_in_blocks(queries, in_blocks(references, size), k=10)
    assert np.array_equal(found.references, whole.references)
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-6)


@pytest.mark.parametrize(("size", "limit"), [(1, 50), (7, 50), (64, 50), (64, 300), (1000, 1), (1000, 5999)])
def test_best_pairs_are_those_of_a_full_sort(size: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "QUERY_TILE", 8)
    monkeypatch.setattr(search, "REFERENCE_TILE", 16)
    queries, references = unit_rows(30, 16, seed=0), unit_rows(200, 16, seed=1)
    found = best_pairs(queries, lambda: in_blocks(references, size), limit)
    similarity = queries.astype(np.float64) @ references.astype(np.float64).T
    expected = np.argsort(-similarity, axis=None)[:limit]
    assert set(zip(found.queries, found.references, strict=True)) == set(zip(*divmod(expected, 200), strict=True))
    np.testing.assert_allclose(found.scores, similarity.reshape(-1)[expected], atol=1e-6)


def test_best_pairs_of_fewer_than_the_limit_are_all_pairs() -> None:
    found = best_pairs(unit_rows(3, 8, seed=0), lambda: [unit_rows(4, 8, seed=1)], limit=100)
    assert len(set(zip(found.queries.tolist(), found.references.tolist(), strict=True))) == 12


def test_best_pairs_keep_to_the_limit_when_all_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "QUERY_TILE", 4)
    monkeypatch.setattr(search, "REFERENCE_TILE", 4)
    same = np.tile(unit_rows(1, 8, seed=0), (20, 1))
    found = best_pairs(same, lambda: in_blocks(same, 8), limit=37)
    assert len(set(zip(found.queries.tolist(), found.references.tolist(), strict=True))) == 37
