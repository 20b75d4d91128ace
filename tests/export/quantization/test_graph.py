"""The one quantised graph, and its lowering onto PyTorch's int8 kernels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from distill.students.checkpoint import load_checkpoint
from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import calibration_set
from export.quantization.graph import quantize_trunk
from export.quantization.ops import CLAMPS
from export.quantization.plan import QuantizationPlan
from export.runtimes.torchscript import exact_int8_engine
from export.targets.torchscript_int8 import lower_to_int8_kernels

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
CONV2D = torch.ops.aten.conv2d.default


@pytest.fixture(scope="module")
def student(tiny_checkpoint: Path) -> PixelStudent:
    return PixelStudent(load_checkpoint(tiny_checkpoint))


@pytest.fixture(scope="module")
def quantized(student: PixelStudent):
    return quantize_trunk(student, calibration_set(None, 64), QuantizationPlan())


def test_every_convolution_has_int8_weights_with_a_scale_per_channel(quantized) -> None:
    convolutions = [node for node in quantized.graph.nodes if node.target == CONV2D]
    assert len(convolutions) == 49  # EfficientNet-Lite0 has 49
    for node in convolutions:
        weight = node.args[1]
        assert weight.target == torch.ops.quantized_decomposed.dequantize_per_channel.default
        values = getattr(quantized, weight.args[0].target)
        assert values.dtype == torch.int8
        assert getattr(quantized, weight.args[1].target).shape == (values.shape[0],)


def test_a_relu6_is_observed_with_its_convolution_not_after_it(quantized) -> None:
    clamps = [node for node in quantized.graph.nodes if node.target in CLAMPS]
    assert len(clamps) == 33
    for clamp in clamps:
        assert clamp.args[0].target == CONV2D
        assert [user.target for user in clamp.users] == [QUANTIZE]


def test_the_lowered_graph_runs_every_convolution_and_add_in_int8(quantized) -> None:
    lowered = lower_to_int8_kernels(quantized)
    kinds = Counter(type(module).__name__ for module in lowered.modules())
    assert kinds["Conv2d"] == 49
    targets = [node.target for node in lowered.graph.nodes]
    assert CONV2D not in targets
    assert targets.count(torch.ops.quantized.add) == 9


def test_the_lowered_graph_gives_what_the_quantised_one_gives(
    student: PixelStudent, quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.quantized, "engine", exact_int8_engine())
    image = student.normalize(to_batch(calibration_set(None, 64).views[0]))
    with torch.inference_mode():
        expected, lowered = quantized(image), lower_to_int8_kernels(quantized)(image)
    assert torch.cosine_similarity(expected.flatten(), lowered.flatten(), dim=0).item() > 0.99
