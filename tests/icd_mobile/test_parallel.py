"""A map over processes gives what a map in one gives."""

from __future__ import annotations

import operator

import pytest

from icd_mobile.parallel import parallel_map


def test_results_come_in_order_until_the_error_of_a_process() -> None:
    results = parallel_map(operator.neg, [*range(40), "no number"], 2)  # type: ignore[list-item]
    found = []
    with pytest.raises(TypeError):
        for result in results:
            found.append(result)
    assert found == [-number for number in range(40)]


def test_one_worker_needs_no_process() -> None:
    assert list(parallel_map(lambda number: -number, [3, 1], 1)) == [-3, -1]  # a lambda cannot be sent to a process
