"""Structure that a phone rewards: one partition for each mobile execution provider, and two runtimes that agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distill.checkpoint import load_checkpoint
from export.golden import read_golden
from export.pipeline import export_bundles


def _export(checkpoint: Path, target: str, precision: str, out: Path) -> Path:
    (outcome,) = export_bundles(
        load_checkpoint(checkpoint), [(target, precision)], None, out, False, lambda _name, _what: None
    )
    assert outcome.bundle_dir is not None, outcome.reason
    return outcome.bundle_dir


def test_every_mobile_execution_provider_takes_the_whole_onnx_graph(tmp_path: Path, tiny_checkpoint: Path) -> None:
    bundle = _export(tiny_checkpoint, "onnx", "fp32", tmp_path)
    checker = [sys.executable, "-m", "onnxruntime.tools.check_onnx_model_mobile_usability", str(bundle / "model.onnx")]
    said = subprocess.run(checker, capture_output=True, text=True, check=True)
    answers = re.findall(r"Model should perform well with (.+) as is: (\w+)", said.stdout + said.stderr)
    assert answers == [("NNAPI", "YES"), ("CoreML NeuralNetwork", "YES"), ("CoreML MLProgram", "YES")]


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
