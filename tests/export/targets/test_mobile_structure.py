"""Structure that a phone rewards: one partition for each mobile execution provider, and two runtimes that agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from distill.students.checkpoint import load_checkpoint
from export.bundle.bundle import read_manifest
from export.bundle.golden import read_golden
from export.bundle.pixels import to_batch
from export.pipeline import export_bundles


def _export(checkpoint: Path, target: str, precision: str, out: Path) -> Path:
    (outcome,) = export_bundles(
        load_checkpoint(checkpoint), [(target, precision)], None, out, False, lambda _name, _what: None
    )
    assert outcome.bundle_dir is not None, outcome.reason
    return outcome.bundle_dir


def test_every_mobile_execution_provider_takes_the_whole_onnx_graph(tmp_path: Path, tiny_checkpoint: Path) -> None:
    bundle = _export(tiny_checkpoint, "onnx", "fp32", tmp_path)
    checks = read_manifest(bundle).structure
    assert checks is not None
    assert [check.backend for check in checks] == ["NNAPI", "Core ML (NeuralNetwork)", "Core ML (ML Program)"]
    for check in checks:
        assert (check.num_partitions, check.num_taken) == (1, check.num_ops), check.line()
        assert check.line() in (bundle / "README.md").read_text()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tensorflow_s_own_interpreter_gives_the_same_descriptors(
    tmp_path: Path, tiny_checkpoint: Path, precision: str
) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    bundle = _export(tiny_checkpoint, "tflite", precision, tmp_path)
    pixels, expected = read_golden(bundle / "golden")
    runner = tensorflow.lite.Interpreter(model_path=str(bundle / "model.tflite")).get_signature_runner()
    descriptors = np.concatenate([runner(pixels=image[None].astype(np.float32))["descriptor"] for image in pixels])
    assert (descriptors * expected).sum(axis=1).min() > (0.9999 if precision == "fp32" else 0.99)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_s_own_reference_evaluator_gives_the_same_descriptors(
    tmp_path: Path, tiny_checkpoint: Path, precision: str
) -> None:
    bundle = _export(tiny_checkpoint, "onnx", precision, tmp_path)
    pixels, expected = read_golden(bundle / "golden")
    evaluator = ReferenceEvaluator(str(bundle / "model.onnx"))
    for image, descriptor in list(zip(pixels, expected, strict=True))[:2]:
        (found,) = evaluator.run(None, {"pixels": to_batch(image).numpy()})
        assert (found[0] * descriptor).sum() > (0.9999 if precision == "fp32" else 0.99)
