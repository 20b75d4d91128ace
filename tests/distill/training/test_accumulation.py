"""A batch in parts has the gradient of the whole batch, though only a part is in the student at a time."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from distill.training.accumulation import backward_in_parts
from distill.training.trained_student import Described


class _Model(nn.Module):
    """Small, with everything that makes parts hard: batch norm, and a wide feature beside the descriptor."""

    def __init__(self, batchnorm: bool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5) if batchnorm else nn.Tanh())
        self.wide, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, rows: Tensor) -> Described:
        features = self.trunk(rows)
        wide = self.wide(features)
        return Described(nn.functional.normalize(self.head(wide)), features, nn.functional.normalize(wide))


def _losses(described: Described) -> tuple[Tensor, dict[str, Tensor]]:
    """Every row with every other: no sum of losses of parts gives this."""
    assert described.wide is not None
    contrastive = torch.logsumexp(described.descriptors @ described.descriptors.T / 0.1, dim=1).mean()
    spread = (described.wide @ described.wide.T).square().mean()
    total = contrastive + 0.5 * spread
    return total, {"contrastive": contrastive, "spread": spread}


def _gradients(model: nn.Module) -> list[Tensor]:
    return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sizes", [(4, 4), (2, 2, 2, 2), (3, 3, 2)])
def test_the_gradient_is_that_of_the_whole_batch(rows: Tensor, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = _Model(batchnorm=False).double()
    total, _ = _losses(model(rows))
    total.backward()
    expected = _gradients(model)
    model.zero_grad()

    parts = rows.split(sizes)
    synced = []

    def backward(part: Tensor) -> None:
        synced.append(part.item())
        part.backward()

    found, by_name = backward_in_parts(
        lambda index: model(parts[index]), len(parts), _losses, backward, nullcontext, model
    )
    assert found.item() == pytest.approx(total.item(), abs=1e-12)
    assert set(by_name) == {"contrastive", "spread"}
    assert len(synced) == len(sizes)
    for own, whole in zip(_gradients(model), expected, strict=True):
        torch.testing.assert_close(own, whole, rtol=1e-9, atol=1e-12)


def test_processes_exchange_gradients_with_the_last_part_only(rows: Tensor) -> None:
    model = _Model(batchnorm=False).double()
    parts = rows.split(2)
    inside: list[bool] = []
    blocked = [False]

    class Block:
        def __enter__(self) -> None:
            blocked[0] = True

        def __exit__(self, *_: object) -> None:
            blocked[0] = False

    def backward(part: Tensor) -> None:
        inside.append(blocked[0])
        part.backward()

    backward_in_parts(lambda index: model(parts[index]), len(parts), _losses, backward, Block, model)
    assert inside == [True, True, True, False]


def test_running_statistics_move_once_a_part_and_not_twice(rows: Tensor) -> None:
    torch.manual_seed(0)
    model, once = _Model(batchnorm=True).double(), _Model(batchnorm=True).double()
    once.load_state_dict(model.state_dict())
    parts = rows.split(4)
    backward_in_parts(
        lambda index: model(parts[index]), len(parts), _losses, lambda part: part.backward(), nullcontext, model
    )
    for part in parts:
        once(part)
    found, expected = model.trunk.state_dict(), once.trunk.state_dict()
    assert torch.equal(found["1.running_mean"], expected["1.running_mean"])
    assert torch.equal(found["1.num_batches_tracked"], expected["1.num_batches_tracked"])
