"""What the tests of the losses share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distill.losses.batch import Batch

Rows = list[list[float]]
MakeBatch = Callable[..., Batch]


@pytest.fixture
def make_batch() -> MakeBatch:
    """A batch of the rows given; those of the student are leaves that take a gradient."""

    def make(
        descriptors: Rows,
        image_ids: list[int] | None = None,
        *,
        features: Rows | None = None,
        wide: Rows | None = None,
        teacher: Rows | None = None,
        keys: Rows | None = None,
        key_ids: list[int] | None = None,
    ) -> Batch:
        def leaf(rows: Rows) -> Tensor:
            return torch.tensor(rows, requires_grad=True)

        return Batch(
            descriptors=leaf(descriptors),
            features=leaf(descriptors if features is None else features),
            wide=None if wide is None else leaf(wide),
            teacher=None if teacher is None else torch.tensor(teacher),
            image_ids=torch.tensor(list(range(len(descriptors))) if image_ids is None else image_ids),
            keys=None if keys is None else torch.tensor(keys),
            key_ids=None if key_ids is None else torch.tensor(key_ids),
        )

    return make


@pytest.fixture
def random_rows() -> Callable[..., Rows]:
    """(n, width) rows from a seed, of unit length unless told."""

    def make(n: int, width: int, seed: int = 0, unit: bool = True) -> Rows:
        rows = torch.randn(n, width, generator=torch.Generator().manual_seed(seed))
        return (torch.nn.functional.normalize(rows, dim=1) if unit else rows).tolist()

    return make
