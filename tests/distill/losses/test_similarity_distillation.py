"""Similarity distillation against values worked by hand and its formula in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from distill.losses.batch import Dims
from distill.losses.similarity_distillation import SimilarityDistillation
from icd_mobile.errors import InputError

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
# Rows student (0.6,0.8), (0,1); teacher (1,0), (0,1); all temperatures 1. M is the teacher's two rows.
# Row 0: student logits 0.6, 0.8: log q = -0.798139, -0.598139; teacher logits 1, 0: p = 0.731059, 0.268941.
#   cross-entropy 0.731059 * 0.798139 + 0.268941 * 0.598139 = 0.744351.
# Row 1: both have logits 0, 1: cross-entropy = entropy = 0.582203, which is the teacher's entropy in row 0 too.
# Cross-entropy: (0.744351 + 0.582203) / 2 = 0.663277. KL: (0.744351 - 0.582203 + 0) / 2 = 0.081074.
STUDENT, TEACHER = [[0.6, 0.8], NORTH], [EAST, NORTH]


@pytest.mark.parametrize(("form", "expected"), [("cross_entropy", 0.663277), ("kl", 0.081074)])
def test_similarity_distillation_worked_by_hand(make_batch, form: str, expected: float) -> None:
    loss = SimilarityDistillation(form=form, student_temperature=1.0, teacher_temperature=1.0)
    assert loss(make_batch(STUDENT, teacher=TEACHER)).item() == pytest.approx(expected, abs=1e-6)


def divergence(
    student: list[list[float]], teacher: list[list[float]], seen: list[list[float]], t_s: float, t_t: float, form: str
) -> float:
    def softmax(row: list[float], temperature: float) -> list[float]:
        powers = [math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / temperature) for other in seen]
        return [power / sum(powers) for power in powers]

    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for p, q in zip(softmax(t, t_t), softmax(s, t_s), strict=True):
            total += -p * math.log(q) + (p * math.log(p) if form == "kl" else 0.0)
    return total / len(student)


@pytest.mark.parametrize("form", ["kl", "cross_entropy"])
def test_the_bank_joins_the_comparison_and_forgets_the_oldest(make_batch, random_rows, form: str) -> None:
    loss = SimilarityDistillation(form=form, student_temperature=0.2, teacher_temperature=0.1, bank_size=5)
    held: list[list[float]] = []
    for step in range(4):
        student, teacher = random_rows(3, 4, seed=step), random_rows(3, 4, seed=100 + step)
        expected = divergence(student, teacher, teacher + held, 0.2, 0.1, form)
        assert loss(make_batch(student, teacher=teacher)).item() == pytest.approx(expected, rel=1e-5)
        held = [*held, *teacher][-5:]


def test_kl_is_zero_where_student_and_teacher_agree(make_batch, random_rows) -> None:
    rows = random_rows(4, 3)
    batch = make_batch(rows, teacher=rows)
    loss = SimilarityDistillation()(batch)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert batch.descriptors.grad.abs().max() < 1e-5


def test_both_forms_have_the_same_gradient(make_batch, random_rows) -> None:
    gradients = []
    for form in ("kl", "cross_entropy"):
        batch = make_batch(random_rows(4, 3), teacher=random_rows(4, 3, seed=1))
        SimilarityDistillation(form=form)(batch).backward()
        gradients.append(batch.descriptors.grad)
    torch.testing.assert_close(*gradients)


def test_the_wide_feature_is_compared_where_there_is_one(make_batch) -> None:
    batch = make_batch([[1.0]] * 2, teacher=TEACHER, wide=STUDENT)
    loss = SimilarityDistillation(student_temperature=1.0, teacher_temperature=1.0)(batch)
    loss.backward()
    assert loss.item() == pytest.approx(0.081074, abs=1e-6)
    assert batch.descriptors.grad is None
    assert torch.count_nonzero(batch.wide.grad) > 0


def test_a_teacher_that_is_not_normalised_is_normalised(make_batch) -> None:
    loss = SimilarityDistillation(student_temperature=1.0, teacher_temperature=1.0)
    batch = make_batch(STUDENT, teacher=[[7.0, 0.0], [0.0, 0.1]])
    assert loss(batch).item() == pytest.approx(0.081074, abs=1e-6)


def test_the_sharp_teacher_of_seed_stays_finite(make_batch, random_rows) -> None:
    batch = make_batch(random_rows(4, 3), teacher=random_rows(4, 3, seed=1))
    loss = SimilarityDistillation(student_temperature=0.2, teacher_temperature=1e-4)(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(batch.descriptors.grad).all()


def test_validation_leaves_the_bank_as_it_is(make_batch) -> None:
    loss = SimilarityDistillation().eval()
    loss(make_batch(STUDENT, teacher=TEACHER))
    assert len(loss.bank.filled()) == 0


def test_the_bank_may_change_before_the_backward_pass(make_batch, random_rows) -> None:
    loss = SimilarityDistillation(bank_size=2)
    first, second = (make_batch(random_rows(2, 3, seed=s), teacher=random_rows(2, 3, seed=s + 9)) for s in (1, 2))
    loss(first)
    pending = loss(second)
    loss(first)  # takes the places of what `pending` was computed from
    pending.backward()
    assert torch.isfinite(second.descriptors.grad).all()


@pytest.mark.parametrize(("dims", "shown"), [((256, None), 256), ((64, 384), 384)])
def test_other_dimensions_than_the_teacher_are_refused(dims: tuple[int, int | None], shown: int) -> None:
    loss = SimilarityDistillation()
    loss.check(Dims(descriptor=64, feature=1280, wide=512, teacher=512))
    with pytest.raises(InputError, match=f"got {shown} and 512 dimensions"):
        loss.check(Dims(descriptor=dims[0], feature=1280, wide=dims[1], teacher=512))


def test_an_unknown_form_is_answered_with_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'cross_entropy'"):
        SimilarityDistillation(form="crossentropy")
