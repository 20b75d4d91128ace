"""The compact projection folds away; batch norms freeze; the mean follows."""

from __future__ import annotations

import pytest
import torch

from distill.students.student import Student
from distill.training.trained_student import CompactHead, TrainedStudent, mean_decay, update_mean
from icd_mobile.errors import InputError


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    return Student("resnet18", 64, 64)


def test_the_compact_head_folds_into_one_linear_worked_by_hand() -> None:
    """wide = 2x + 1, compact = 3w - 1: together 6x + 2."""
    head = CompactHead(1, 1, 1)
    head.wide.load_state_dict({"weight": torch.tensor([[2.0]]), "bias": torch.tensor([1.0])})
    head.compact.load_state_dict({"weight": torch.tensor([[3.0]]), "bias": torch.tensor([-1.0])})
    weight, bias = head.folded()
    assert (weight.item(), bias.item()) == (6.0, 2.0)


def test_the_finished_student_describes_as_the_trained_one(student: Student) -> None:
    trained = TrainedStudent(student, wide_dim=128).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        described = trained(images)
        finished = trained.finished()
        assert described.wide is not None
        assert described.wide.shape == (2, 128)
        assert described.features.shape == (2, 512)
        torch.testing.assert_close(finished(images), described.descriptors, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(described.wide.norm(dim=1), torch.ones(2))
    assert type(finished.head) is torch.nn.Linear
    assert not finished.training


def test_without_a_compact_projection_the_student_is_as_it_is(student: Student) -> None:
    trained = TrainedStudent(student).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert trained(images).wide is None
        assert torch.equal(trained(images).descriptors, student(images))
        assert torch.equal(trained.finished()(images), student(images))


def test_every_parameter_that_trains_has_a_gradient(student: Student) -> None:
    """DistributedDataParallel waits for ever for one that has none."""
    trained = TrainedStudent(student, wide_dim=128).train()
    described = trained(torch.randn(2, 3, 64, 64))
    (described.descriptors.sum() + 0.0 * described.features.sum()).backward()
    without = [name for name, weight in trained.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


def test_frozen_batch_norms_keep_their_statistics(student: Student) -> None:
    trained = TrainedStudent(student, batchnorm="frozen").train()
    before = student.trunk.state_dict()["bn1.running_mean"].clone()
    trained(torch.randn(2, 3, 64, 64))
    assert torch.equal(student.trunk.state_dict()["bn1.running_mean"], before)
    assert student.trunk.training


def test_synchronised_batch_norms_leave_no_trace_in_the_finished_student() -> None:
    """timm's batch norms carry the activation after them, which PyTorch's own conversion would drop."""
    torch.manual_seed(0)
    student = Student("efficientnet_lite0", 64, 64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = student(images)
        trained = TrainedStudent(student, batchnorm="sync").eval()
        finished = trained.finished()
        assert torch.equal(finished(images), expected)
    assert not [module for module in finished.modules() if isinstance(module, torch.nn.SyncBatchNorm)]


def test_the_mean_moves_by_one_minus_the_decay() -> None:
    mean, model = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(mean.weight, 1.0)
    torch.nn.init.constant_(model.weight, 2.0)
    model.running_mean = torch.tensor([5.0])
    update_mean(mean, model, decay=0.75)
    assert mean.weight.item() == 1.25  # 0.75 * 1 + 0.25 * 2
    assert mean.state_dict()["running_mean"].item() == 5.0


def test_the_mean_forgets_its_start_soon() -> None:
    """(1 + t) / (10 + t) until it reaches the decay: 1/10, 2/11, ..., 0.99 from t = 890 on."""
    assert [mean_decay(0.99, step) for step in (0, 1, 890, 10_000)] == [0.1, 2 / 11, 0.99, 0.99]


def test_half_precision_ends_before_pooling(student: Student) -> None:
    """A unit length is one to float32's precision though the trunk is cast; in bfloat16 it is one to 3 digits only."""
    trained = TrainedStudent(student, wide_dim=128).train()
    with torch.autocast("cpu", torch.bfloat16):
        described = trained(torch.randn(4, 3, 64, 64))
    assert described.features.dtype == described.descriptors.dtype == torch.float32
    assert described.wide is not None
    for rows in (described.descriptors, described.wide):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(4), rtol=1e-6, atol=1e-6)


def test_frozen_layers_stay_as_they_came_and_the_others_train(student: Student) -> None:
    trained = TrainedStudent(student, frozen_layers=["conv1", "bn1", "layer1"]).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    trained(torch.randn(4, 3, 64, 64)).descriptors.sum().backward()
    frozen = ("trunk.conv1.", "trunk.bn1.", "trunk.layer1.")
    for name, weight in student.named_parameters():
        assert weight.requires_grad != name.startswith(frozen), name
        assert (weight.grad is None) == name.startswith(frozen), name
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert changed, "batch norms that are not frozen count on"
    assert not {name for name in changed if name.startswith(frozen)}


def test_a_layer_that_is_not_there_is_refused_with_the_nearest(student: Student) -> None:
    with pytest.raises(InputError, match=r"unknown layer of the trunk 'layr1'.*layer1"):
        TrainedStudent(student, frozen_layers=["layr1"])
