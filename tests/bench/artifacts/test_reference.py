"""A Core ML bundle off Apple: its descriptors by the reference evaluator, labelled so, and no times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm  # noqa: F401 (before coremltools, which crashes otherwise; see export/targets/coreml.py)

# isort: split
import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)

from bench.records.latency import Preset
from bench.records.rows import make_rows
from bench.records.setting import common_setting
from bench.report.report import render_csv, render_markdown
from bench.run import passes
from bench.run.run import RunPlan, run_bench
from bench.run.screen import Screen
from export.bundle.bundle import list_files, read_manifest, write_manifest
from export.mil import BLIND_TO

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs here")
SIZE_PX, GRID = 64, 8


@pytest.fixture
def core_ml_bundle(new_bundle: Callable[..., Path]) -> Path:
    """The tiny ONNX graph of conftest.py as an ML Program: 8 x 8 means around zero, L2-normalised."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, SIZE_PX, SIZE_PX))], opset_version=ct.target.iOS16)
    def program(pixels):
        stride = SIZE_PX // GRID
        small = mb.avg_pool(x=pixels, kernel_sizes=[stride] * 2, strides=[stride] * 2, pad_type="valid")
        flat = mb.reshape(x=mb.sub(x=small, y=np.float32(127.5)), shape=[1, -1])
        return mb.real_div(x=flat, y=mb.reduce_l2_norm(x=flat, axes=[1], keep_dims=True), name="descriptor")

    model = ct.convert(
        program,
        inputs=[ct.ImageType(name="pixels", shape=(1, 3, SIZE_PX, SIZE_PX), color_layout=ct.colorlayout.RGB)],
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    bundle = new_bundle("tiny-coreml-fp32", target="coreml")
    (bundle / "model.onnx").unlink()
    model.save(str(bundle / "model.mlpackage"))
    manifest = read_manifest(bundle)
    changed = {"model_path": "model.mlpackage", "files": list_files(bundle)}
    write_manifest(bundle, manifest.model_copy(update=changed))
    return bundle


def test_a_core_ml_bundle_is_judged_by_reference_and_not_timed(
    core_ml_bundle: Path,
    bundle_dir: Path,
    dataset_dir: Path,
    tiny_preset: Preset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "NUM_COLD_STARTS", 1)
    plan = RunPlan(
        bundles=[bundle_dir, core_ml_bundle],
        device="host",
        dataset=str(dataset_dir),
        datasets_dir=tmp_path / "datasets",
        preset=tiny_preset,
        num_threads=1,
        stores_dir=tmp_path / "stores",
        baseline="none",
        teacher=None,
        write_threshold=False,
        records_dir=tmp_path / "records",
    )
    result = run_bench(plan, Screen())
    (onnx, _), (core_ml, _) = result.records
    reason = "Core ML runs on Apple systems only"
    assert core_ml.failure is None
    assert {name: core_ml.not_measured.get(name) for name in ("load", "latency", "memory")} == dict.fromkeys(
        ("load", "latency", "memory"), reason
    )
    assert core_ml.accuracy is not None
    assert onnx.accuracy is not None
    assert (onnx.accuracy.evidence, core_ml.accuracy.evidence) == ("measured", "reference")
    assert core_ml.accuracy.micro_ap == onnx.accuracy.micro_ap == 1.0
    assert core_ml.accuracy.threshold_at_p90 == pytest.approx(onnx.accuracy.threshold_at_p90, abs=1e-5)
    assert core_ml.stability is not None
    assert core_ml.stability.evidence == "reference"
    assert result.compatibility is not None
    assert list(result.compatibility.labels.values()) == ["onnx fp32", "coreml fp32 (reference)"]
    records = [onnx, core_ml]
    text = render_markdown(records, result.compatibility)
    (line,) = (line for line in text.splitlines() if line.startswith("| coreml | fp32 |"))
    assert line.count("(reference)") == 3  # micro-AP, recall@P90, threshold@P90; there is no baseline to retain
    assert "| not measured |" in line
    assert f"coreml fp32: its descriptors are of a reference evaluator, blind to {BLIND_TO}" in text
    assert f"coreml fp32: {reason}" in text
    assert ",reference," in render_csv(make_rows(records, common_setting(records))).splitlines()[2]
