"""micro-AP and its companions: values worked by hand, and an independent loop over the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_mobile.errors import InputError
from icd_mobile.retrieval.mean_ap import mean_average_precision
from icd_mobile.retrieval.micro_ap import (
    Candidates,
    Detection,
    accuracy_at_1,
    bootstrap_interval,
    detection,
    matches,
    recall_at_k,
)


def candidates(rows: list[tuple[int, int, float]]) -> Candidates:
    queries, references, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return Candidates(np.array(queries, np.int64), np.array(references, np.int64), np.array(scores, np.float64))


def pairs(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


def judge(rows: list[tuple[int, int, float]], truth: np.ndarray) -> Detection:
    found = candidates(rows)
    return detection(found.scores, matches(found, truth), len(truth))


def test_perfect_ranking_scores_one() -> None:
    result = judge([(0, 0, 0.9), (1, 1, 0.8), (0, 5, 0.1)], pairs((0, 0), (1, 1)))
    assert result == Detection(micro_ap=1.0, recall_at_p90=1.0, threshold_at_p90=0.8)


def test_one_negative_between_two_matches() -> None:
    # Ranks: match, negative, match. AP = (1/1 + 2/3) / 2 = 5/6; only the first match is at precision 0.9 or more.
    result = judge([(0, 0, 0.9), (1, 4, 0.8), (1, 1, 0.7)], pairs((0, 0), (1, 1)))
    assert result.micro_ap == pytest.approx(5 / 6, abs=1e-15)
    assert (result.recall_at_p90, result.threshold_at_p90) == (0.5, 0.9)


def test_unretrieved_pairs_count_against_recall() -> None:
    # Two pairs of four found, both first: AP = (1 + 1) / 4.
    result = judge([(0, 0, 0.9), (1, 1, 0.8)], pairs((0, 0), (1, 1), (2, 2), (3, 3)))
    assert (result.micro_ap, result.recall_at_p90) == (0.5, 0.5)


def test_negatives_come_first_inside_a_tie() -> None:
    # All tied: negative, negative, match, match. AP = (1/3 + 2/4) / 2 = 5/12, in whatever order they are given.
    rows = [(0, 0, 0.5), (0, 7, 0.5), (1, 1, 0.5), (1, 7, 0.5)]
    for order in (rows, rows[::-1]):
        result = judge(order, pairs((0, 0), (1, 1)))
        assert result.micro_ap == pytest.approx(5 / 12, abs=1e-15)
        assert (result.recall_at_p90, result.threshold_at_p90) == (0.0, None)


def test_recall_at_p90_takes_the_largest_recall_even_after_a_dip() -> None:
    # Matches but the second of 20: precision dips to 1/2, and 19/20 = 0.95 at the end is at the bar again.
    rows = [(index, 0 if index != 1 else 9, 1 - index / 100) for index in range(20)]
    result = judge(rows, pairs(*((index, 0) for index in range(20))))
    assert (result.recall_at_p90, result.threshold_at_p90) == (19 / 20, pytest.approx(0.81))


def test_threshold_is_the_score_where_the_recall_is_first_reached() -> None:
    # Ten matches, then a negative: precision there is 10/11 > 0.9, yet the score to use is the tenth match's.
    rows = [(index, 0, 1 - index / 100) for index in range(10)] + [(10, 0, 0.5)]
    assert judge(rows, pairs(*((index, 0) for index in range(10)))).threshold_at_p90 == pytest.approx(0.91)


def test_no_candidates_score_zero() -> None:
    assert judge([], pairs((0, 0))) == Detection(0.0, 0.0, None)


def test_precision_below_the_bar_everywhere_gives_no_threshold() -> None:
    result = judge([(0, 5, 0.9), (0, 0, 0.8)], pairs((0, 0)))
    assert (result.recall_at_p90, result.threshold_at_p90) == (0.0, None)


def test_duplicate_candidate_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match="query 3, reference 7"):
        matches(candidates([(3, 7, 0.9), (3, 7, 0.1)]), pairs((0, 0)))


def test_duplicate_ground_truth_is_an_error() -> None:
    with pytest.raises(InputError, match="ground-truth pair"):
        matches(candidates([(0, 0, 0.9)]), pairs((0, 0), (0, 0)))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_score_that_is_not_finite_is_an_error(score: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        matches(candidates([(0, 0, score)]), pairs((0, 0)))


def test_ground_truth_that_cannot_hold_the_matches_is_refused() -> None:
    with pytest.raises(ValueError, match="ground-truth"):
        detection(np.array([0.5, 0.4]), np.array([True, True]), 1)


def test_recall_at_k_puts_a_tied_reference_last() -> None:
    # Query 0: its reference alone at the top. Query 1: tied with a negative, so second. Query 2: not retrieved.
    found = candidates([(0, 0, 0.9), (0, 5, 0.2), (1, 1, 0.7), (1, 5, 0.7)])
    truth = pairs((0, 0), (1, 1), (2, 2))
    is_match = matches(found, truth)
    assert recall_at_k(found, is_match, 3, k=1) == pytest.approx(1 / 3)
    assert recall_at_k(found, is_match, 3, k=2) == pytest.approx(2 / 3)


def test_recall_at_k_counts_a_tie_in_full_against_each_of_its_matches() -> None:
    # The query's two references tie: two candidates score as high as either, so neither is certain to be first.
    found = candidates([(0, 0, 0.9), (0, 1, 0.9)])
    truth = pairs((0, 0), (0, 1))
    is_match = matches(found, truth)
    assert (recall_at_k(found, is_match, 2, k=1), recall_at_k(found, is_match, 2, k=2)) == (0.0, 1.0)
    assert accuracy_at_1(found, is_match, truth) == 1.0  # but whichever is first is a match


def test_accuracy_at_1_is_over_the_queries_with_a_match() -> None:
    # Query 0 right; 1 tied with a negative, so wrong; 2 not retrieved, so wrong; 3 has no match and does not count.
    found = candidates([(0, 0, 0.9), (0, 5, 0.2), (1, 1, 0.7), (1, 5, 0.7), (3, 5, 0.8)])
    truth = pairs((0, 0), (1, 1), (2, 2))
    assert accuracy_at_1(found, matches(found, truth), truth) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # The only pair at 0-based rank 0, 1, 4: areas (1 + 1) / 2, (0 / 1 + 1 / 2) / 2, (0 / 4 + 1 / 5) / 2.
        ([(0, 0, 0.9), (0, 7, 0.8)], 1.0),
        ([(0, 7, 0.9), (0, 0, 0.8)], 0.25),
        ([(0, 7, 0.9), (0, 8, 0.8), (0, 9, 0.7), (0, 6, 0.6), (0, 0, 0.5)], 0.1),
        # Tied with a negative: rank 1. Not retrieved: nothing.
        ([(0, 0, 0.9), (0, 7, 0.9)], 0.25),
        ([(0, 7, 0.9)], 0.0),
        ([], 0.0),
    ],
)
def test_trapezoid_mean_ap_of_one_pair(rows: list[tuple[int, int, float]], expected: float) -> None:
    found, truth = candidates(rows), pairs((0, 0))
    assert mean_average_precision(found, matches(found, truth), truth) == pytest.approx(expected, abs=1e-15)


def test_trapezoid_mean_ap_is_the_mean_over_queries_with_a_pair() -> None:
    # Query 0: matches at ranks 0 and 2 of two pairs: ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2 = 19/24.
    # Query 2: its pair at rank 1: 1/4. Query 1 has no pair. Mean (19/24 + 6/24) / 2 = 25/48.
    found = candidates([(2, 9, 0.9), (0, 0, 0.9), (0, 7, 0.8), (1, 7, 0.95), (0, 1, 0.7), (2, 2, 0.3)])
    truth = pairs((0, 0), (0, 1), (2, 2))
    assert mean_average_precision(found, matches(found, truth), truth) == pytest.approx(25 / 48, abs=1e-15)


def test_interval_holds_the_estimate_and_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    rows = [(query, reference, float(rng.random())) for query in range(40) for reference in range(5)]
    truth = pairs(*((query, query % 5) for query in range(30)))
    found = candidates(rows)
    is_match = matches(found, truth)
    low, high = bootstrap_interval(found, is_match, truth, num_queries=40)
    assert 0 <= low < detection(found.scores, is_match, 30).micro_ap < high <= 1
    assert bootstrap_interval(found, is_match, truth, num_queries=40) == (low, high)


def test_interval_of_a_perfect_ranking_is_a_point() -> None:
    found = candidates([(query, 0, 1 - query / 100) for query in range(10)])
    truth = pairs(*((query, 0) for query in range(10)))
    assert bootstrap_interval(found, matches(found, truth), truth, 10) == (1.0, 1.0)


def by_definition(rows: list[tuple[int, int, float]], truth: set[tuple[int, int]]) -> tuple[float, float, float | None]:
    """The definition, one candidate at a time: precision and recall after each, in the pessimistic order."""
    ordered = sorted(rows, key=lambda row: (-row[2], (row[0], row[1]) in truth))
    micro_ap, recall_before, true_positives = 0.0, 0.0, 0
    best_recall, threshold = 0.0, None
    for count, (query, reference, score) in enumerate(ordered, start=1):
        true_positives += (query, reference) in truth
        precision, recall = true_positives / count, true_positives / len(truth)
        micro_ap += (recall - recall_before) * precision
        recall_before = recall
        if precision >= 0.9 and (recall > best_recall or threshold is None):
            best_recall, threshold = recall, score
    return micro_ap, best_recall, threshold


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[tuple[int, int, float]], set[tuple[int, int]]]:
    """Few distinct scores, so that ties are heavy; pairs that were never retrieved; sometimes no candidate at all."""
    grid = [(query, reference) for query in range(6) for reference in range(6)]
    retrieved = draw(st.lists(st.sampled_from(grid), unique=True, max_size=36))
    scores = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), min_size=36, max_size=36))
    truth = draw(st.sets(st.sampled_from(grid), min_size=1, max_size=20))
    return [(*pair, score) for pair, score in zip(retrieved, scores, strict=False)], truth


@settings(max_examples=300, deadline=None)
@given(cases())
def test_agrees_with_a_loop_over_the_definition(
    case: tuple[list[tuple[int, int, float]], set[tuple[int, int]]],
) -> None:
    rows, truth = case
    result = judge(rows, pairs(*sorted(truth)))
    micro_ap, recall, threshold = by_definition(rows, truth)
    assert result.micro_ap == pytest.approx(micro_ap, abs=1e-12)
    assert result.recall_at_p90 == pytest.approx(recall, abs=1e-12)
    assert result.threshold_at_p90 == threshold


@settings(max_examples=100, deadline=None)
@given(cases(), st.randoms())
def test_order_of_the_candidates_does_not_matter(case: tuple[list, set], random: object) -> None:
    rows, truth = case
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert judge(rows, pairs(*sorted(truth))) == judge(shuffled, pairs(*sorted(truth)))


def ranks_by_definition(rows: list[tuple[int, int, float]], truth: set[tuple[int, int]], k: int) -> float:
    """Recall@k pair by pair: how many candidates of the same query score at least as high."""
    found = 0
    for query, reference, score in rows:
        if (query, reference) in truth:
            found += sum(other == query and theirs >= score for other, _, theirs in rows) <= k
    return found / len(truth)


def mean_ap_by_definition(rows: list[tuple[int, int, float]], truth: set[tuple[int, int]]) -> float:
    """The Holidays rule, query by query and rank by rank."""
    areas = []
    for query in {query for query, _ in truth}:
        hits = sorted(
            ((-score, (query, reference) in truth) for other, reference, score in rows if other == query),
        )
        area, found = 0.0, 0
        for rank, (_, is_hit) in enumerate(hits):
            if is_hit:
                before = found / rank if rank else 1.0
                found += 1
                area += (before + found / (rank + 1)) / 2
        areas.append(area / sum(other == query for other, _ in truth))
    return sum(areas) / len(areas)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_ranks_in_a_query_agree_with_a_loop_over_the_definition(
    case: tuple[list[tuple[int, int, float]], set[tuple[int, int]]],
) -> None:
    rows, truth = case
    found, true_pairs = candidates(rows), pairs(*sorted(truth))
    is_match = matches(found, true_pairs)
    for k in (1, 2, 10):
        expected = ranks_by_definition(rows, truth, k)
        assert recall_at_k(found, is_match, len(truth), k) == pytest.approx(expected, abs=1e-12)
    assert mean_average_precision(found, is_match, true_pairs) == pytest.approx(
        mean_ap_by_definition(rows, truth), abs=1e-12
    )
    first_is_right = 0
    for query in {query for query, _ in truth}:
        own = sorted((-score, (query, reference) in truth) for other, reference, score in rows if other == query)
        first_is_right += bool(own) and own[0][1]
    assert accuracy_at_1(found, is_match, true_pairs) == pytest.approx(
        first_is_right / len({query for query, _ in truth}), abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(cases())
def test_candidates_that_come_sorted_give_the_same(
    case: tuple[list[tuple[int, int, float]], set[tuple[int, int]]],
) -> None:
    rows, truth = case
    in_order = sorted(rows, key=lambda row: -row[2])
    assert judge(in_order, pairs(*sorted(truth))) == judge(rows, pairs(*sorted(truth)))


def test_interval_is_that_of_queries_written_out_as_often_as_drawn() -> None:
    """Each resample made by hand: a query drawn twice becomes two queries with the same candidates and pairs."""
    rng = np.random.default_rng(3)
    rows = [(q, r, float(rng.integers(0, 4)) / 4) for q in range(8) for r in range(4) if rng.random() < 0.7]
    truth = {(q, int(rng.integers(0, 4))) for q in range(6)}
    found, true_pairs = candidates(rows), pairs(*sorted(truth))
    low, high = bootstrap_interval(found, matches(found, true_pairs), true_pairs, 8, num_resamples=50, seed=5)
    draws, values = np.random.default_rng(5), []
    for _ in range(50):
        drawn = draws.integers(0, 8, 8)
        copies = [(new, r, score) for new, old in enumerate(drawn) for q, r, score in rows if q == old]
        copied_truth = {(new, r) for new, old in enumerate(drawn) for q, r in truth if q == old}
        values.append(by_definition(copies, copied_truth)[0])
    assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)
