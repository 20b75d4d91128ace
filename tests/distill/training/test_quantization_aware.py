"""Fake quantisation: the integers that an exporter will make, and a gradient as if nothing were rounded."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from distill.students.student import STUDENTS, Student
from distill.training.quantization_aware import InputRange, QuantizationAware, rounded_weight
from distill.training.trained_student import TrainedStudent, update_mean


def test_inputs_are_rounded_to_the_steps_of_their_range_worked_by_hand() -> None:
    """-1..1.55 in 255 steps of 0.01: 0.123 becomes 0.12, and 9 the end of the range."""
    observed = InputRange()
    observed(torch.tensor([-1.0, 1.55]))
    observed.eval()
    rounded = observed(torch.tensor([0.123, -0.996, 9.0, 0.0]))
    torch.testing.assert_close(rounded, torch.tensor([0.12, -1.0, 1.55, 0.0]), atol=1e-6, rtol=0)


def test_a_range_holds_zero_and_follows_slowly() -> None:
    observed = InputRange()
    observed(torch.tensor([1.0, 2.0]))
    assert (observed.low.item(), observed.high.item()) == (0.0, 2.0)
    observed(torch.tensor([-1.0, 3.0]))
    assert observed.low.item() == pytest.approx(-0.01)
    assert observed.high.item() == pytest.approx(2.01)


def test_weights_have_a_scale_for_each_output_channel_worked_by_hand() -> None:
    """127 steps to each channel's largest: of 1.27 and 0.0127, so 0.01 and 0.0001."""
    weight = torch.tensor([[1.27, 0.014], [-0.0127, 0.00514]])
    expected = torch.tensor([[1.27, 0.01], [-0.0127, 0.0051]])
    torch.testing.assert_close(rounded_weight(weight), expected, atol=1e-7, rtol=0)


def test_a_batch_norm_folded_afterwards_has_the_same_integers() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 8, 3, bias=False).eval(), nn.BatchNorm2d(8).eval()
    norm.weight.data.uniform_(0.5, 2.0)
    norm.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    folded = fuse_conv_bn_eval(conv, norm).weight
    rounded_first = copy.deepcopy(conv)
    rounded_first.weight.data = rounded_weight(conv.weight)
    torch.testing.assert_close(
        rounded_weight(folded), fuse_conv_bn_eval(rounded_first, norm).weight, rtol=1e-5, atol=1e-7
    )


def test_the_gradient_passes_the_rounding() -> None:
    weight = torch.randn(4, 8, requires_grad=True)
    rounded_weight(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.equal(torch.ones_like(weight))


@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_trains_with_it_and_leaves_as_a_plain_one(name: str) -> None:
    torch.manual_seed(0)
    trained = TrainedStudent(Student(name, 64, 64), quantization_aware=True).train()
    mean = copy.deepcopy(trained).requires_grad_(False)
    images = torch.randn(2, 3, 64, 64)
    trained(images).descriptors.sum().backward()
    assert trained.quantization is not None
    layers = [layer for layer in trained.student.trunk.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert layers
    assert all(layer.weight.grad is not None for layer in layers)
    assert all(int(seen.num_seen) == 1 for seen in trained.quantization.inputs.values())  # type: ignore[arg-type]
    update_mean(mean, trained, 0.5)
    trained.eval()
    with torch.inference_mode():
        rounded, plain = trained(images).descriptors, trained.finished()(images)
    similarity = torch.nn.functional.cosine_similarity(rounded, plain).min().item()
    assert 0.7 < similarity < 0.999999, "near the float student's, and not the same"


def test_the_copy_of_a_model_rounds_its_own_layers() -> None:
    layer = nn.Linear(2, 2, bias=False)
    trunk = nn.Sequential(layer)
    pair = nn.ModuleDict({"trunk": trunk, "aware": QuantizationAware(trunk)})
    other = copy.deepcopy(pair)
    nn.init.zeros_(layer.weight)
    assert other["aware"](other["trunk"], torch.ones(1, 2)).abs().sum() > 0
