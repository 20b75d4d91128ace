"""The benchmark at full size: what it counts as memory, what it times, and that a missed limit is an exit code."""

from __future__ import annotations

import json
import mmap
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.limits import scale
from bench.limits.anonymous_memory import PeakMemory, anonymous_bytes
from bench.limits.scale_search import MIN_TURNS, SearchFigures, measure_best_pairs, measure_nearest, write_unit_rows
from icd_mobile.retrieval.micro_ap import detection

SIZE_BYTES = 64 * 2**20


def figures(ratios: tuple[float, ...], peak_bytes: int | None) -> SearchFigures:
    return SearchFigures(50_000, 1_000_000, 256, 100.0, ratios, peak_bytes)


def _fresh_bytes(size_bytes: int) -> np.ndarray:
    """Written memory straight from the system: an allocator may hand out what the process has held before."""
    fresh = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    rows = np.frombuffer(fresh, dtype=np.uint8)
    rows[:] = 1
    return rows


@pytest.mark.skipif(anonymous_bytes() is None, reason="only Linux says it")
def test_memory_of_our_own_counts_and_mapped_files_do_not(tmp_path: Path) -> None:
    write_unit_rows(tmp_path / "rows.npy", SIZE_BYTES // 1024, 256, seed=0)
    before = anonymous_bytes()
    assert before is not None
    with PeakMemory() as mapped:
        assert np.load(tmp_path / "rows.npy", mmap_mode="r").sum() != 0
        time.sleep(0.1)
    with PeakMemory() as held:
        rows = _fresh_bytes(SIZE_BYTES)
        time.sleep(0.1)
        held.pause()
        time.sleep(0.05)
        more = _fresh_bytes(2 * SIZE_BYTES)
        time.sleep(0.1)
        del more
        held.resume()
    assert mapped.peak_bytes is not None
    assert held.peak_bytes is not None
    assert mapped.peak_bytes - before < SIZE_BYTES / 2
    assert 0.9 * SIZE_BYTES < held.peak_bytes - before < 1.5 * SIZE_BYTES
    assert rows[0] == 1


def test_rows_are_unit_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.npy", "b.npy"):
        write_unit_rows(tmp_path / name, 100, 8, seed=3)
    rows = np.load(tmp_path / "a.npy")
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.array_equal(rows, np.load(tmp_path / "b.npy"))


@pytest.mark.parametrize("measure", [measure_nearest, measure_best_pairs])
def test_each_search_takes_turns_with_the_bare_one(measure, tmp_path: Path) -> None:
    write_unit_rows(tmp_path / "q.npy", 50, 16, seed=0)
    write_unit_rows(tmp_path / "r.npy", 3000, 16, seed=1)
    found = measure(np.load(tmp_path / "q.npy", mmap_mode="r"), np.load(tmp_path / "r.npy", mmap_mode="r"), 10)
    assert (found.num_queries, found.num_references, found.num_dims) == (50, 3000, 16)
    assert len(found.ratios) >= MIN_TURNS
    assert min(found.ratios) > 0
    assert found.gflop_per_s > 0


def test_plain_loop_is_the_same_figure() -> None:
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random(1000))[::-1]
    is_match = rng.random(1000) < np.linspace(1, 0, 1000)
    expected = scale.plain_loop(list(zip(scores.tolist(), is_match.tolist(), strict=True)), 600)
    found = detection(scores, is_match, 600)
    assert found.micro_ap == pytest.approx(expected.micro_ap, abs=1e-12)
    assert (found.recall_at_p90, found.threshold_at_p90) == (expected.recall_at_p90, expected.threshold_at_p90)


@pytest.mark.parametrize(
    ("ratios", "peak_bytes", "times_faster", "missed"),
    [
        ((0.5, 0.9, 1.2), 2_499_999_999, 20.0, []),
        ((0.95,), None, 20.0, []),
        ((0.5, 0.89, 1.2), 1, 20.0, ["rate at 1,000,000 references"]),
        ((0.9,), 2_500_000_000, 19.9, ["memory beyond the mapped files", "micro-AP of 500,000 candidates"]),
    ],
)
def test_missed_limit_is_named_and_exits_1(
    ratios: tuple[float, ...],
    peak_bytes: int | None,
    times_faster: float,
    missed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = figures(ratios, peak_bytes)
    monkeypatch.setattr(scale, "measure_searches", lambda _queries, _references: ([one], one))
    monkeypatch.setattr(scale, "micro_ap_times_faster", lambda: times_faster)
    for words in ([], ["--json"]):
        done = CliRunner().invoke(scale.app, words)
        assert done.exit_code == (1 if missed else 0)
        assert (f"error: missed: {', '.join(missed)};" in done.stderr) == bool(missed)
    plain = json.loads(done.stdout)
    assert [check["name"] for check in plain["checks"] if check["passed"] is False] == missed
    assert plain["evidence"] == "measured"
