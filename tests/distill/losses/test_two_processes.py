"""Two processes with B rows each against one with 2 B: the same losses, gradients, weights and banks.

The student is small and wrapped in DistributedDataParallel. All cases run in one pair of gloo processes, for a few
steps each, so that banks fill and turn over their end.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distill.losses import LOSSES, build_loss
from distill.losses.batch import Batch
from distill.losses.weighted import WeightedLosses

NUM_PROCESSES, NUM_STEPS, IMAGE_DIM, DESCRIPTOR_DIM = 2, 4, 5, 4
# Rows of both processes in the order of their ranks. Images 1 and 2 have three views, on both processes; 3 and 4 have
# one, on the second: the processes have different numbers of rows that count.
IMAGE_IDS = [0, 1, 0, 1, 2, 1, 2, 3, 4, 2]
ROWS_EACH = len(IMAGE_IDS) // NUM_PROCESSES
BANK = 13  # no multiple of 10 rows

CASES: dict[str, tuple[tuple[str, float, dict[str, object]], ...]] = {
    "kl": (("similarity_distillation", 1.0, {"bank_size": BANK}),),
    "cross_entropy": (
        (
            "similarity_distillation",
            1.0,
            {"form": "cross_entropy", "bank_size": BANK, "student_temperature": 0.2, "teacher_temperature": 0.05},
        ),
    ),
    "koleo": (("koleo", 1.0, {}),),
    "entropy": (("koleo", 1.0, {"epsilon": 0.0, "min_squared_distance": 1e-6}),),
    "directclr": (("directclr", 1.0, {"num_dims": 3}),),
    "infonce": (("infonce", 1.0, {"temperature": 0.5}),),
    "infonce_bank": (("infonce", 1.0, {"temperature": 0.5, "bank_size": BANK}),),
    "momentum_contrast": (("momentum_contrast", 1.0, {"temperature": 0.5, "bank_size": BANK}),),
    "hard_negative": (("hard_negative", 5.0, {"bank_size": BANK}),),
    "relational": (("relational", 1.0, {}),),
    "cosine": (("regression", 1.0, {}),),
    "l2": (("regression", 1.0, {"distance": "l2"}),),
    "recipe": (
        ("similarity_distillation", 1.0, {"bank_size": BANK}),
        ("infonce", 0.5, {"temperature": 0.5}),
        ("koleo", 0.1, {}),
        ("hard_negative", 0.5, {"bank_size": BANK}),
        ("relational", 0.3, {}),
    ),
}
Result = dict[str, list[Tensor]]


class TinyStudent(nn.Module):
    """(N, 5) -> trunk feature (N, 6), wide feature (N, 4), descriptors (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.wide, self.head = nn.Linear(IMAGE_DIM, 6), nn.Linear(6, 4), nn.Linear(4, DESCRIPTOR_DIM)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(images).tanh()
        wide = self.wide(features)
        return F.normalize(self.head(wide), dim=1), features, F.normalize(wide, dim=1)


def train(case: str, rank: int, num_processes: int) -> Result:
    """The losses and gradients of each step, then the weights and banks, as seen by one process."""
    torch.manual_seed(0)
    student: nn.Module = TinyStudent()
    if num_processes > 1:
        student = DistributedDataParallel(student, find_unused_parameters=True)
    losses = WeightedLosses([(name, weight, build_loss(name, settings)) for name, weight, settings in CASES[case]])
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05)
    rows = slice(rank * ROWS_EACH, (rank + 1) * ROWS_EACH) if num_processes > 1 else slice(None)
    images_of = torch.Generator().manual_seed(1)
    totals, gradients = [], []
    for _ in range(NUM_STEPS):
        images = torch.randn(len(IMAGE_IDS), IMAGE_DIM, generator=images_of)[rows]
        teacher = torch.randn(len(IMAGE_IDS), 4, generator=images_of)[rows]
        descriptors, features, wide = student(images)
        ids = torch.tensor(IMAGE_IDS)[rows]
        keys = F.normalize(teacher.flip(1), dim=1)
        total, parts = losses(
            Batch(descriptors, features, wide, F.normalize(teacher, dim=1), ids, keys=keys, key_ids=ids)
        )
        optimizer.zero_grad()
        total.backward()
        totals += [total.detach(), *parts.values()]
        gradients += [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in student.parameters()]
        optimizer.step()
    return {
        "losses": totals,
        "gradients": gradients,
        "weights": [parameter.detach().clone() for parameter in student.parameters()],
        "banks": [value.clone() for value in losses.state_dict().values()],
    }


def one_of_two(rank: int, folder: str) -> None:
    """What one of the processes runs; it leaves its results in `folder`."""
    torch.set_num_threads(1)
    meeting = (Path(folder) / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=NUM_PROCESSES)
    try:
        torch.save({case: train(case, rank, NUM_PROCESSES) for case in CASES}, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    folder = tmp_path_factory.mktemp("two_processes")
    torch.multiprocessing.spawn(one_of_two, (str(folder),), nprocs=NUM_PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]


def test_every_loss_has_a_case() -> None:
    assert {name for parts in CASES.values() for name, _, _ in parts} == set(LOSSES)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one_with_the_whole_batch(case: str, of_two_processes: list[dict[str, Result]]) -> None:
    of_one = train(case, rank=0, num_processes=1)
    assert any(gradient.abs().max() > 1e-3 for gradient in of_one["gradients"])
    for results in of_two_processes:
        torch.testing.assert_close(results[case], of_one, rtol=1e-5, atol=1e-5)
