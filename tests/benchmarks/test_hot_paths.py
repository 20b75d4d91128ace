"""How fast the project's own hot paths are: `make bench`. Throughput and ratios stand in `extra_info`."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from bench.records.latency import Preset, percentile
from bench.records.record import ArtifactInfo, Latency, Record, RuntimeInfo
from bench.records.record_files import read_record, write_record
from devices.base import DeviceFacts
from icd_mobile.pictures.preprocessing import read_rgb, to_pixels
from icd_mobile.retrieval.micro_ap import Candidates, Detection, detection, matches
from icd_mobile.retrieval.search import nearest

NUM_QUERIES, NUM_REFERENCES, NUM_DIMS, K = 1_000, 20_000, 256, 10
NUM_CANDIDATES = 500_000


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def per_second(benchmark: BenchmarkFixture, num_items: int, unit: str) -> None:
    """Note the throughput at the median, where pytest-benchmark measured one."""
    if benchmark.stats is not None:
        benchmark.extra_info[f"{unit}_per_s"] = round(num_items / benchmark.stats.stats.median, 1)


def test_preprocessing_of_a_12_megapixel_jpeg(benchmark: BenchmarkFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).resize((4000, 3000)).save(buffer, "JPEG", quality=90)
    content = buffer.getvalue()

    def preprocess() -> None:
        to_pixels(read_rgb(content), 224)

    benchmark(preprocess)
    per_second(benchmark, 1, "images")
    bare = min(seconds(lambda: Image.open(BytesIO(content)).load()) for _ in range(3))
    if benchmark.stats is not None:
        benchmark.extra_info["times_bare_decode"] = round(benchmark.stats.stats.median / bare, 2)


def test_search(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((NUM_QUERIES + NUM_REFERENCES, NUM_DIMS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries, references = rows[:NUM_QUERIES], rows[NUM_QUERIES:]
    benchmark(nearest, queries, references, K)
    per_second(benchmark, NUM_QUERIES, "queries")
    product = min(seconds(lambda: queries @ references.T) for _ in range(3))
    if benchmark.stats is not None:
        benchmark.extra_info["times_bare_product"] = round(benchmark.stats.stats.median / product, 2)


@pytest.fixture(scope="module")
def judged() -> tuple[Candidates, np.ndarray]:
    rng = np.random.default_rng(0)
    queries = np.repeat(np.arange(NUM_CANDIDATES // K), K)
    references = rng.integers(0, 100_000, len(queries) // K)[queries] + np.tile(np.arange(K), len(queries) // K)
    scores = rng.integers(0, 10_000, len(queries)) / 10_000
    pairs = np.stack([queries[::K], references[::K]], axis=1)[::5]
    return Candidates(queries, references, scores), pairs


def test_micro_ap_of_half_a_million_candidates(
    benchmark: BenchmarkFixture, judged: tuple[Candidates, np.ndarray]
) -> None:
    """Against a plain loop over the same candidates, both given them sorted, and both not."""
    candidates, pairs = judged
    is_match = matches(candidates, pairs)
    order = np.lexsort((is_match, -candidates.scores))
    scores, sorted_match = candidates.scores[order], is_match[order]
    rows = list(zip(scores.tolist(), sorted_match.tolist(), strict=True))
    unsorted_rows = list(zip(candidates.scores.tolist(), is_match.tolist(), strict=True))

    def plain_loop(rows: list[tuple[float, bool]]) -> Detection:
        found, micro_ap, recall_before, best_recall = 0, 0.0, 0.0, 0.0
        threshold = None
        for rank, (score, match) in enumerate(rows, start=1):
            found += match
            precision, recall = found / rank, found / len(pairs)
            micro_ap += precision * (recall - recall_before)
            recall_before = recall
            if precision >= 0.9 and recall > best_recall:
                best_recall, threshold = recall, score
        return Detection(micro_ap, best_recall, threshold)

    expected = plain_loop(rows)
    result = benchmark(detection, scores, sorted_match, len(pairs))
    assert result.micro_ap == pytest.approx(expected.micro_ap, abs=1e-12)
    assert (result.recall_at_p90, result.threshold_at_p90) == (expected.recall_at_p90, expected.threshold_at_p90)
    per_second(benchmark, NUM_CANDIDATES, "candidates")
    if benchmark.stats is not None:
        loop_s = min(seconds(lambda: plain_loop(rows)) for _ in range(5))
        sort_s = min(seconds(lambda: sorted(unsorted_rows, key=lambda c: (-c[0], c[1]))) for _ in range(3))
        ours_s = min(seconds(lambda: detection(candidates.scores, is_match, len(pairs))) for _ in range(5))
        benchmark.extra_info["times_faster_than_plain_loop_sorted"] = round(loop_s / benchmark.stats.stats.median, 1)
        benchmark.extra_info["times_faster_than_plain_loop_unsorted"] = round((sort_s + loop_s) / ours_s, 1)


def test_matching_candidates_to_the_ground_truth(
    benchmark: BenchmarkFixture, judged: tuple[Candidates, np.ndarray]
) -> None:
    benchmark(matches, *judged)
    per_second(benchmark, NUM_CANDIDATES, "candidates")


def test_reading_a_full_record_and_its_percentiles(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    num_samples = 60_000  # a full run of an artifact of 1 ms
    samples = tuple(np.random.default_rng(0).integers(900_000, 1_100_000, num_samples).tolist())
    not_run = ("load", "memory", "accuracy", "stability")
    record = Record(
        created_utc="2025-01-01T00:00:00Z",
        artifact=ArtifactInfo(
            name="student-onnx-fp32",
            target="onnx",
            precision="fp32",
            state="ok",
            student="student",
            descriptor_dim=256,
            input_size_px=224,
            weights_sha256="0" * 64,
            model_bytes=1,
            model_sha256="0" * 64,
            quantization="none",
            parity_evidence="not measured",
            parity_reason="",
            parity_cosine_min=None,
        ),
        device=DeviceFacts("host", "computer", "M", "Linux", "CPU", "x86_64", 2, 2**33, "not measured", "3.11"),
        preset=Preset("full", 1024, 60.0, 600.0),
        num_threads=1,
        runtime=RuntimeInfo(package="onnxruntime", version="1", accelerator="cpu"),
        latency=Latency(warmup_ns=(1,), samples_ns=samples, feed_ns=(1,)),
        not_measured=dict.fromkeys(not_run, "not run"),
    )
    path = write_record(record, tmp_path)

    def read() -> float:
        latency = read_record(path).latency
        assert latency is not None
        return percentile(latency.samples_ns, 90)

    benchmark(read)
    per_second(benchmark, num_samples, "samples")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_core_ml_by_reference(benchmark: BenchmarkFixture, tmp_path: Path, precision: str) -> None:
    """The default student, one image at a time on one thread, as the bench judges it."""
    from distill.students.checkpoint import open_student
    from export.mil.session import load
    from export.pipeline import export_bundles

    student = open_student("default")
    (outcome,) = export_bundles(student, [("coreml", precision)], None, tmp_path, False, lambda _name, _what: None)
    assert outcome.bundle_dir is not None, outcome.reason
    session = load(outcome.bundle_dir / "model.mlpackage", 1)
    side = student.card.input_size_px
    session.feed(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
    benchmark(session.invoke)
    per_second(benchmark, 1, "images")
