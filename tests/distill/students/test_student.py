"""Every student: what they give, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from distill.students.checkpoint import open_student, random_student
from distill.students.student import STUDENTS, Student, student_spec
from icd_mobile.errors import InputError


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_gives_unit_descriptors(name: str) -> None:
    student = Student(name, descriptor_dim=64, input_size_px=64).eval()
    with torch.inference_mode():
        descriptors = student(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert descriptors.shape == (2, 64)
    assert descriptors.norm(dim=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert not torch.equal(descriptors[0], descriptors[1])


# Widths of the last maps, from the architectures' papers; ViT-S joins its class token to the pooled patches: 2 x 384.
# MobileNet-V3 and V4 pool before their last 1x1 convolution: 960 and not 1280.
@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("efficientnet_b0", 1280),
        ("mobilenetv3_large", 960),
        ("vit_small", 768),
        ("mobilevit_s", 640),
        ("efficientnet_lite0", 1280),
        ("efficientnet_lite1", 1280),
        ("efficientnet_lite2", 1280),
        ("mobilenetv4_conv_small", 960),
    ],
)
def test_the_head_takes_the_pooled_width(name: str, width: int) -> None:
    assert Student(name, 64, 64).head.in_features == width


def test_building_a_student_leaves_it_in_training_mode() -> None:
    assert Student("resnet18", 64, 64).training


def test_random_students_repeat_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = random_student("resnet18"), random_student("resnet18")
    assert torch.equal(torch.get_rng_state(), before)
    assert first.weights_sha256 == second.weights_sha256
    assert first.weights_sha256 != random_student("resnet18", seed=1).weights_sha256


def test_a_bare_student_says_that_its_weights_are_random() -> None:
    card = open_student("resnet18").card
    assert card.trunk == "random"
    assert "random weights" in card.recipe


@pytest.mark.parametrize("dim", [63, 513])
def test_a_descriptor_size_out_of_range_is_refused(dim: int) -> None:
    with pytest.raises(InputError, match=f"64..512, got {dim}"):
        Student("resnet18", dim)


@pytest.mark.parametrize("size_px", [0, 32, 100])
def test_an_input_size_the_trunk_cannot_take_is_refused(size_px: int) -> None:
    with pytest.raises(InputError, match=f"multiple of 32 px, 64 or more, got {size_px}"):
        Student("resnet18", 64, size_px)


def test_a_mistyped_student_is_answered_with_the_closest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'mobilenetv3_large'"):
        student_spec("mobilenet_v3_large")
    with pytest.raises(InputError, match="did you mean 'efficientnet_b0'"):
        open_student("eficientnet_b0")
