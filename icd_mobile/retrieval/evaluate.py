"""micro-AP and its companions from the challenge's files: from predictions, or from descriptors by a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icd_mobile.arrays import Descriptors, Ints
from icd_mobile.datasets.ground_truth import GroundTruth
from icd_mobile.errors import InputError
from icd_mobile.retrieval.approximate import IndexChoice, fill_index, nearest_in_index, open_index
from icd_mobile.retrieval.challenge_csv import MAX_CANDIDATES, Predictions, read_predictions, write_predictions
from icd_mobile.retrieval.codecs import Codec, fit_codec, needs_training, num_dims_after
from icd_mobile.retrieval.descriptor_files import DescriptorSet, Ids
from icd_mobile.retrieval.mean_ap import mean_average_precision
from icd_mobile.retrieval.micro_ap import Candidates, accuracy_at_1, bootstrap_interval, detection, matches, recall_at_k
from icd_mobile.retrieval.score_normalization import check_apart, score_bias, with_bias, with_one
from icd_mobile.retrieval.search import best_pairs, nearest_in_blocks

PAIRS_PER_QUERY = 10


@dataclass(frozen=True)
class Search:
    """How candidates are found: `k` references a query, or with None the best pairs over all queries together.

    Without an `index` the search is exact; with one, `k` is needed.
    """

    codec: str
    beta: float
    k: int | None
    index: IndexChoice | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether training descriptors are needed, whatever the index."""
        return needs_training(self.codec) or self.beta != 0


@dataclass(frozen=True)
class Evaluation:
    """What the candidates detect, 0..1 and unrounded, and in `configuration` what the figures depend on."""

    micro_ap: float
    micro_ap_low: float
    micro_ap_high: float
    recall_at_p90: float
    threshold_at_p90: float | None
    recall_at_1: float
    recall_at_10: float
    accuracy_at_1: float
    mean_ap: float
    num_queries: int
    num_queries_with_match: int
    num_pairs: int
    num_candidates: int
    configuration: dict[str, str]


def evaluate_predictions(truth: GroundTruth, path: Path) -> Evaluation:
    """Judge a predictions CSV.

    Raises:
        InputError: see `read_predictions`.
    """
    return _judge(read_predictions(path, truth), {"ground truth": str(truth.path), "candidates": f"as given in {path}"})


def evaluate_descriptors(
    truth: GroundTruth,
    queries: DescriptorSet,
    references: DescriptorSet,
    training: DescriptorSet | None,
    search: Search,
    predictions_path: Path | None = None,
) -> Evaluation:
    """Search the queries among the references and judge what is found; written to `predictions_path` where given.

    Raises:
        InputError: dimensions differ, an id that the ground truth or the queries lack, or no training set where the
            search needs one.
        GateError: the training set shares an id or a descriptor with the queries or the references.
    """
    pairs = _pairs(truth, queries, references)
    is_fitted = search.is_fitted or (search.index is not None and not _open(search, queries.num_dims).is_trained)
    if is_fitted and training is None:
        raise InputError(f"{_what_is_fitted(search)} is fitted; give --training T.h5")
    for other in (references, training):
        if other is not None and other.num_dims != queries.num_dims:
            raise InputError(
                f"{other.parts[0].path} has {other.num_dims} dimensions, {queries.parts[0].path} has "
                f"{queries.num_dims}; embed all alike"
            )
    if training is not None and is_fitted:
        check_apart(training, queries)
        check_apart(training, references)
    candidates = find_candidates(queries, references, training, search)
    if predictions_path is not None:
        write_predictions(predictions_path, candidates, queries.ids.tolist(), references.ids.tolist())
    configuration = {
        "ground truth": str(truth.path),
        "references": f"{len(references):,} of {references.num_dims} dimensions",
        "codec": search.codec,
        "score normalisation": f"{search.beta:g}[0,2]" if search.beta else "none",
        "training": f"{len(training):,} descriptors" if training is not None and is_fitted else "none",
        "candidates": _how_found(search, len(queries)),
        "resize": "not measured (descriptors do not say it)",
    }
    return _judge(Predictions(candidates, pairs, len(queries)), configuration)


def _what_is_fitted(search: Search) -> str:
    index = f" and {search.index}" if search.index is not None else ""
    return f"codec {search.codec} with beta {search.beta:g}{index}"


def _how_found(search: Search, num_queries: int) -> str:
    if search.k is None:
        num_best = min(PAIRS_PER_QUERY * num_queries, MAX_CANDIDATES)
        return f"exact, the best {num_best:,} pairs of all ({PAIRS_PER_QUERY} a query, at most {MAX_CANDIDATES:,})"
    if search.index is not None:
        return f"not exact ({search.index}), at most k = {search.k} a query"
    return f"exact, k = {search.k} a query"


def _open(search: Search, num_dims: int) -> Any:
    assert search.index is not None
    return open_index(search.index, num_dims_after(search.codec, num_dims))


def find_candidates(
    queries: DescriptorSet, references: DescriptorSet, training: DescriptorSet | None, search: Search
) -> Candidates:
    """Encode, search, normalise; queries are held in memory, references and training pass in blocks, but for what an
    index keeps of them.
    """
    codec = fit_codec(search.codec, training.blocks() if training is not None else ())
    encoded = np.concatenate(list(_encoded(queries, codec)))
    bias = np.zeros(len(queries))
    if search.beta and training is not None:
        bias = score_bias(encoded, _encoded(training, codec), search.beta)
    if search.index is not None:
        index = _open(search, queries.num_dims)
        learnt_from = _encoded(training, codec) if training is not None else ()
        fill_index(index, search.index, learnt_from, _encoded(references, codec))
        found = nearest_in_index(index, search.index, encoded, search.k or PAIRS_PER_QUERY)
        return Candidates(found.queries, found.references, found.scores + bias[found.queries])
    if search.k is not None:
        found = nearest_in_blocks(encoded, _encoded(references, codec), search.k)
        return Candidates(found.queries, found.references, found.scores + bias[found.queries])
    limit = min(PAIRS_PER_QUERY * len(queries), MAX_CANDIDATES)
    if not search.beta:
        return best_pairs(encoded, lambda: _encoded(references, codec), limit)
    return best_pairs(with_bias(encoded, bias), lambda: map(with_one, _encoded(references, codec)), limit)


def _encoded(descriptors: DescriptorSet, codec: Codec) -> Iterator[Descriptors]:
    return map(codec.encode, descriptors.blocks())


def _pairs(truth: GroundTruth, queries: DescriptorSet, references: DescriptorSet) -> Ints:
    """(P, 2) the ground truth as rows of the two sets, after a check of every id."""
    rows = list(truth.pairs.values())
    found = []
    for side, ids, wanted in (
        ("query", queries, [query for query, _ in truth.pairs]),
        ("reference", references, [reference for _, reference in truth.pairs]),
    ):
        at = _find(ids.ids, np.array(wanted))
        if (at < 0).any():
            missing = int(np.flatnonzero(at < 0)[0])
            raise InputError(
                f"{truth.path} row {rows[missing]}: no {side} '{wanted[missing]}' in {ids.parts[0].path}; check the ids"
            )
        found.append(at)
    named = np.array(truth.query_ids)
    unembedded, unnamed = np.flatnonzero(_find(queries.ids, named) < 0), np.flatnonzero(_find(named, queries.ids) < 0)
    if len(unembedded):
        raise InputError(
            f"{truth.path} row {truth.query_rows[named[unembedded[0]]]}: no query '{named[unembedded[0]]}' in "
            f"{queries.parts[0].path}, nor {len(unembedded) - 1} others; embed every query"
        )
    if truth.names_every_query and len(unnamed):
        raise InputError(
            f"{queries.where(int(unnamed[0]))} is not in {truth.path}, nor {len(unnamed) - 1} others; give the "
            "descriptors of its queries alone"
        )
    return np.stack(found, axis=1)


def _find(ids: Ids, wanted: Ids) -> Ints:
    """(n,) the row of each wanted id, -1 where there is none."""
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def _judge(found: Predictions, configuration: dict[str, str]) -> Evaluation:
    candidates, pairs = found.candidates, found.pairs
    is_match = matches(candidates, pairs)
    result = detection(candidates.scores, is_match, len(pairs))
    low, high = bootstrap_interval(candidates, is_match, pairs, found.num_queries)
    return Evaluation(
        micro_ap=result.micro_ap,
        micro_ap_low=low,
        micro_ap_high=high,
        recall_at_p90=result.recall_at_p90,
        threshold_at_p90=result.threshold_at_p90,
        recall_at_1=recall_at_k(candidates, is_match, len(pairs), k=1),
        recall_at_10=recall_at_k(candidates, is_match, len(pairs), k=10),
        accuracy_at_1=accuracy_at_1(candidates, is_match, pairs),
        mean_ap=mean_average_precision(candidates, is_match, pairs),
        num_queries=found.num_queries,
        num_queries_with_match=len(np.unique(pairs[:, 0])),
        num_pairs=len(pairs),
        num_candidates=len(candidates.scores),
        configuration=configuration,
    )
