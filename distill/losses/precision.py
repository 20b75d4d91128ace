"""Losses in float32 whatever the network was run in.

In float16 or bfloat16 a similarity has two to three digits: over a temperature of 0.05 that is noise, and the distance
of a close pair is zero. Autocast would choose those types for the matrix products inside a loss too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.batch import Batch

LossModule = TypeVar("LossModule", bound=nn.Module)


def in_float32(forward: Callable[[LossModule, Batch], Tensor]) -> Callable[[LossModule, Batch], Tensor]:
    """A `forward` that sees float32 rows, those of unit length made so again in float32, with autocast off.

    A descriptor that was normalised in bfloat16 is up to 0.4 % too long or short; kd_icd's teacher was not normalised.
    """

    @functools.wraps(forward)
    def wrapped(loss: LossModule, batch: Batch) -> Tensor:
        with torch.autocast(batch.descriptors.device.type, enabled=False):
            return forward(
                loss,
                Batch(
                    descriptors=_unit(batch.descriptors),
                    features=batch.features.float(),
                    wide=None if batch.wide is None else _unit(batch.wide),
                    teacher=None if batch.teacher is None else _unit(batch.teacher.detach()),
                    image_ids=batch.image_ids,
                    mixed_ids=batch.mixed_ids,
                    keys=None if batch.keys is None else _unit(batch.keys.detach()),
                    key_ids=batch.key_ids,
                ),
            )

    return wrapped


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows.float(), dim=1)
