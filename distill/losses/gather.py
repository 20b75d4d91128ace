"""Rows and means over all processes, with gradients that DistributedDataParallel's averaging makes exact.

Let each of W processes return W * (sum over its own rows) / (rows of all). The average over processes is the mean over
all rows. A row on one process also depends on the descriptors of others: the backward pass of the gather sums what all
processes have to say about a descriptor and hands it to the process that made it.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Number of processes that train together; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_columns(rows: Tensor) -> Tensor:
    """(N,) where this process's rows stand in `gather_rows(rows)`."""
    first = dist.get_rank() * len(rows) if world_size() > 1 else 0
    return torch.arange(first, first + len(rows), device=rows.device)


class _GatherRows(torch.autograd.Function):
    """As torch.distributed.nn has one, but the backward pass is one all-reduce, which every backend has."""

    @staticmethod
    def forward(_: FunctionCtx, rows: Tensor) -> Tensor:
        own = rows.contiguous()
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(_: FunctionCtx, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]


def gather_rows(rows: Tensor) -> Tensor:
    """(N, ...) on each process -> (W * N, ...), by rank, on every process; differentiable."""
    return rows if world_size() == 1 else cast(Tensor, _GatherRows.apply(rows))


def global_mean(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean of the values of all processes, of those that `counted` (same shape, bool) says; 0 where none is.

    The mean is the same on every process; its gradient is this process's share (see above).
    """
    if counted is not None:
        values = torch.where(counted, values, torch.zeros_like(values))
    total = values.sum()
    count = torch.full_like(total, values.numel()) if counted is None else counted.sum().to(total.dtype)
    if world_size() == 1:
        return total / count.clamp(min=1)
    sums = torch.stack([total.detach(), count]).double()
    dist.all_reduce(sums)
    global_total, global_count = sums[0], sums[1].clamp(min=1)
    share = total * (world_size() / global_count).to(total.dtype)
    mean = (global_total / global_count).to(total.dtype)
    return share + (mean - share).detach()
