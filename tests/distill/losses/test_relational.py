"""RKD against values worked by hand and its formula in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from distill.losses.relational import Relational
from icd_mobile.errors import InputError

STUDENT = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
TEACHER = [[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]


def test_relational_distances_worked_by_hand(make_batch) -> None:
    # Student: 01 and 12 sqrt 2, 02 2: mean 1.609476; over it 0.878680, 0.878680, 1.242641.
    # Teacher: 01 sqrt 0.8, 12 sqrt 3.2, 02 2: mean 1.561094; over it 0.572950, 1.145898, 1.281153.
    # Half the squared gaps: 0.5 * (0.305731^2 + 0.267218^2 + 0.038512^2) / 3 = 0.027727.
    batch = make_batch(STUDENT, teacher=TEACHER)
    assert Relational(angle_weight=0.0)(batch).item() == pytest.approx(0.027727, abs=1e-6)


def test_relational_angles_worked_by_hand(make_batch) -> None:
    # Both are right triangles (Thales): cosines at 0, 1, 2 of the student sqrt 2 / 2, 0, sqrt 2 / 2; of the teacher
    # sqrt 0.8 / 2 = 0.447214, 0, sqrt 3.2 / 2 = 0.894427. 0.5 * (0.259893^2 + 0 + 0.187320^2) / 3 = 0.017106.
    batch = make_batch(STUDENT, teacher=TEACHER)
    assert Relational(distance_weight=0.0, angle_weight=1.0)(batch).item() == pytest.approx(0.017106, abs=1e-6)


def test_relational_is_the_formula_of_the_paper(make_batch, random_rows) -> None:
    student, teacher, n = random_rows(5, 3), random_rows(5, 7, seed=1), 5

    def huber(gap: float) -> float:
        return 0.5 * gap * gap if abs(gap) < 1 else abs(gap) - 0.5

    def distances(rows: list[list[float]]) -> dict[tuple[int, int], float]:
        found = {(i, j): math.dist(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j}
        mean = sum(found.values()) / len(found)
        return {pair: distance / mean for pair, distance in found.items()}

    def cosine(rows: list[list[float]], j: int, i: int, k: int) -> float:
        a = [x - y for x, y in zip(rows[j], rows[i], strict=True)]
        b = [x - y for x, y in zip(rows[k], rows[i], strict=True)]
        return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    of_student, of_teacher = distances(student), distances(teacher)
    gaps = [huber(of_student[pair] - of_teacher[pair]) for pair in of_student]
    triples = [(j, i, k) for j in range(n) for i in range(n) for k in range(n) if len({i, j, k}) == 3]
    turns = [huber(cosine(student, *triple) - cosine(teacher, *triple)) for triple in triples]
    expected = sum(gaps) / len(gaps) + 2 * sum(turns) / len(turns)
    assert Relational()(make_batch(student, teacher=teacher)).item() == pytest.approx(expected, rel=1e-5)


def test_a_turned_teacher_costs_nothing(make_batch, random_rows) -> None:
    rows = torch.tensor(random_rows(5, 3))
    rotation, _ = torch.linalg.qr(torch.tensor(random_rows(3, 3, seed=2)))
    loss = Relational()(make_batch(rows.tolist(), teacher=(rows @ rotation).tolist()))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_equal_descriptors_keep_the_gradient_finite(make_batch) -> None:
    batch = make_batch([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], teacher=TEACHER)
    Relational()(batch).backward()
    assert torch.isfinite(batch.descriptors.grad).all()
    assert batch.descriptors.grad.abs().max() < 1e4  # one over the least length


def test_a_batch_of_one_row_has_no_relation(make_batch) -> None:
    batch = make_batch([[1.0, 0.0]], teacher=[[1.0, 0.0]])
    loss = Relational()(batch)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(batch.descriptors.grad).all()


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0)])
def test_weights_that_leave_nothing_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="relational"):
        Relational(distance_weight=weights[0], angle_weight=weights[1])
