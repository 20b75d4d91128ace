"""How much a step of similarity distillation costs beside the products it cannot do without: `make bench`."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from distill.losses.batch import Batch
from distill.losses.similarity_distillation import SimilarityDistillation

NUM_ROWS, BANK_SIZE, NUM_DIMS, TEMPERATURE = 64, 65_536, 512, 0.04


def unit_rows(num_rows: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(num_rows, NUM_DIMS, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_similarity_distillation_with_a_full_bank(benchmark: BenchmarkFixture) -> None:
    """Forward and backward, against the bare two products, two softmaxes and the product of the backward pass."""
    student, teacher = unit_rows(NUM_ROWS, 0).requires_grad_(), unit_rows(NUM_ROWS, 1)
    loss = SimilarityDistillation(bank_size=BANK_SIZE)
    loss.bank.push(unit_rows(BANK_SIZE, 2))
    batch = Batch(student, student, None, teacher, torch.arange(NUM_ROWS))

    def step() -> None:
        loss(batch).backward()

    def bare() -> None:
        bank = loss.bank.rows
        of_student = (student.detach() @ bank.T / TEMPERATURE).softmax(dim=1)
        of_teacher = (teacher @ bank.T / TEMPERATURE).softmax(dim=1)
        (of_student - of_teacher) @ bank  # the gradient of the cross-entropy

    benchmark(step)
    if benchmark.stats is not None:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            bare()
            times.append(time.perf_counter() - start)
        benchmark.extra_info["rows_per_s"] = round(NUM_ROWS / benchmark.stats.stats.median, 1)
        benchmark.extra_info["times_bare_products"] = round(benchmark.stats.stats.median / min(times), 2)
