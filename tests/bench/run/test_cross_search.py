"""The compatibility matrix on descriptors small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.records.compatibility import (
    Compatibility,
    merged,
    read_compatibility,
    read_matrices,
    write_compatibility,
)
from bench.records.record import ArtifactInfo
from bench.run import cross_search as module
from bench.run.cross_search import Embedded, cross_search
from devices.base import DeviceFacts
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.errors import InputError
from icd_mobile.retrieval.accuracy import Compared, judge

NewInfo = Callable[..., ArtifactInfo]
FACTS = DeviceFacts("host", "computer", "M", "Linux", "CPU", "x86_64", 2, 2**33, "not measured", "3.11.7")
E = np.eye(4, dtype=np.float32)
# Queries q0, q1, q2 and references r0, r1, r2; q0 is a copy of r0, q1 of r1, q2 of nothing.
A = np.stack([E[0], E[1], 0.6 * E[2] + 0.8 * E[3], E[0], E[1], E[2]]).astype(np.float32)
# B has the references as A has them, and q0 and q1 the wrong way round: both first answers change, q2's does not.
B = A[[1, 0, 2, 3, 4, 5]]


def make_dataset(num_queries: int = 3, num_references: int = 3) -> Dataset:
    return Dataset(
        name="toy",
        folder=Path("toy"),
        queries=tuple(Path(f"toy/queries/q{index}.png") for index in range(num_queries)),
        references=tuple(Path(f"toy/references/r{index}.png") for index in range(num_references)),
        training=(),
        pairs=np.array([[0, 0], [1, 1]]),
        edits={},
        sha256="d" * 64,
    )


@pytest.fixture
def artifact(artifact_info: NewInfo) -> Callable[..., Embedded]:
    def make(name: str, descriptors: np.ndarray, **changes: object) -> Embedded:
        info = {"name": name, "descriptor_dim": descriptors.shape[1], "model_sha256": name * 64} | changes
        return Embedded(artifact_info(**info), descriptors)

    return make


def cross(*artifacts: Embedded, dataset: Dataset | None = None, unreadable: tuple[int, ...] = ()) -> Compatibility:
    return cross_search(artifacts, dataset or make_dataset(), unreadable, FACTS)


def test_each_cell_is_what_the_pair_gives(artifact: Callable[..., Embedded]) -> None:
    cells = cross(artifact("a", A), artifact("b", B)).by_pair
    # a, a: the matches score 1, q2's best 0.6: micro-AP 1, threshold 1; every image is itself.
    own = cells["a" * 64, "a" * 64]
    assert (own.micro_ap, own.threshold_at_p90, own.top1_changed) == (1.0, 1.0, 0.0)
    assert (own.cosine_p1, own.cosine_p50) == pytest.approx((1.0, 1.0))
    # a, b: q0 finds r1 with 1 and r0 with 0, among six pairs of score 0. Scores fall: 1, 1 (both wrong), 0.6 (wrong),
    # then a tie at 0 of both matches and four negatives, negatives first: precision 1/8 and 2/9, over two pairs.
    crossed = cells["a" * 64, "b" * 64]
    assert crossed.micro_ap == pytest.approx((1 / 8 + 2 / 9) / 2)
    assert crossed.threshold_at_p90 is None
    assert crossed.top1_changed == pytest.approx(2 / 3)
    # Cosines of the same images, sorted: 0, 0, 1, 1, 1, 1. Their 1st percentile is 0, their median 1.
    assert (crossed.cosine_p1, crossed.cosine_p50) == (0.0, pytest.approx(1.0))


def test_worst_pair_and_its_shift(artifact: Callable[..., Embedded]) -> None:
    found = cross(artifact("a", A), artifact("b", B))
    assert not found.sampled
    # b's own queries give (1/8 + 2/9) / 2 as well, a's find everything in its index: only (a, b) loses.
    assert found.worst is not None
    assert (found.worst.index, found.worst.queries) == ("a" * 64, "b" * 64)
    assert found.gain(found.worst) == pytest.approx((1 / 8 + 2 / 9) / 2 - 1)
    assert found.threshold_shift(found.worst) is None


def test_threshold_shift_is_against_the_index_own_queries(artifact: Callable[..., Embedded]) -> None:
    tilted = A.copy()
    tilted[:2] = 0.8 * A[:2] + 0.6 * E[3]  # q0 and q1 now meet their references at 0.8
    found = cross(artifact("a", A), artifact("b", tilted))
    cell = found.by_pair["a" * 64, "b" * 64]
    assert cell.micro_ap == 1.0
    assert found.threshold_shift(cell) == pytest.approx(0.8 - 1.0)


def test_other_dimensions_or_another_space_are_not_compared(artifact: Callable[..., Embedded]) -> None:
    other = {"weights_sha256": "f" * 64}
    near = artifact("b", A, **other)  # a student in its teacher's space
    far = artifact("c", A[:, [3, 2, 1, 0]], **other)  # another student's own space
    wide = artifact("e", np.eye(6, dtype=np.float32), **other)
    pairs = set(cross(artifact("a", A), near, far, wide).by_pair)
    assert {("a" * 64, "b" * 64), ("b" * 64, "a" * 64)} < pairs
    assert not pairs & {("a" * 64, "c" * 64), ("c" * 64, "a" * 64), ("a" * 64, "e" * 64)}
    assert ("b" * 64, "c" * 64) in pairs  # of equal weights: what is broken there must show


def test_pairs_of_unreadable_images_count_as_not_found(artifact: Callable[..., Embedded]) -> None:
    with_nan = A.copy()
    with_nan[3] = np.nan  # r0
    (cell,) = cross(artifact("a", with_nan), unreadable=(3,)).cells
    # q1's match comes at 1; q0's best is a negative at 0, q2's at 0.6: one of two pairs is found, at precision 1.
    assert cell.micro_ap == 0.5


def test_large_set_is_sampled_with_all_that_its_queries_match(
    artifact: Callable[..., Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 2)
    monkeypatch.setattr(module, "MAX_REFERENCES", 3)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((14, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rows[4:8] = rows[:4]  # r0..r3 are q0..q3
    dataset = replace(make_dataset(4, 10), pairs=np.array([[index, index] for index in range(4)]))
    found = cross(artifact("a", rows), dataset=dataset)
    assert (found.num_queries, found.num_references, found.sampled) == (2, 3, True)
    assert found.cells[0].micro_ap == 1.0  # of its two pairs, both there


def test_sample_has_a_pair_where_few_queries_have_one(
    artifact: Callable[..., Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 2)
    rows = np.tile(E[0], (41, 1))
    rows[[39, 40]] = E[1]  # q39, and the only reference
    dataset = replace(make_dataset(40, 1), pairs=np.array([[39, 0]]))
    (cell,) = cross(artifact("a", rows), dataset=dataset).cells
    assert cell.micro_ap == 1.0
    rows[39] = np.nan
    assert cross(artifact("a", rows), dataset=dataset, unreadable=(39,)).cells == ()


def test_interval_is_that_of_the_record(artifact: Callable[..., Embedded]) -> None:
    for rows, unreadable in ((A, ()), (B, ()), (B, (0,)), (A, (4,))):
        (cell,) = cross(artifact("a", rows), unreadable=unreadable).cells
        judged = judge(rows, make_dataset(), unreadable, Compared(None, None, "none is here"))
        assert (cell.micro_ap, cell.threshold_at_p90) == (judged.micro_ap, judged.threshold_at_p90)
        assert (cell.micro_ap_low, cell.micro_ap_high) == (judged.micro_ap_low, judged.micro_ap_high)
        assert cell.micro_ap_low < cell.micro_ap_high or rows is A


def test_matrix_comes_back_as_it_was_and_a_damaged_one_is_named(
    artifact: Callable[..., Embedded], tmp_path: Path
) -> None:
    found = cross(artifact("a", A), artifact("b", B))
    path = write_compatibility(found, tmp_path)
    assert read_compatibility(path) == found
    path.write_text(path.read_text().replace("micro_ap", "macro_ap", 1))
    with pytest.raises(InputError, match=path.name):
        read_matrices(tmp_path)


def test_newest_figure_of_each_pair_is_kept(artifact: Callable[..., Embedded]) -> None:
    old = cross(artifact("a", A), artifact("b", B)).model_copy(update={"created_utc": "2025-01-01T00:00:00Z"})
    new = cross(artifact("a", A), artifact("c", A)).model_copy(update={"created_utc": "2025-01-02T00:00:00Z"})
    elsewhere = old.model_copy(update={"num_references": 2, "created_utc": "2024-01-01T00:00:00Z"})
    whole = merged([old, new, elsewhere])
    assert whole is not None
    assert [member.name for member in whole.members] == ["a", "c", "b"]
    assert len(whole.cells) == 7  # a and c, a and b, each with its own; b and c were never crossed
    assert merged([]) is None
    ordered = whole.restricted(["b" * 64, "a" * 64])
    assert ordered is not None
    assert [member.name for member in ordered.members] == ["b", "a"]
    assert len(ordered.cells) == 4
    assert whole.restricted(["a" * 64]) is None
