"""Gradients of a loss over the whole batch, with only a part of it in the student at a time.

Source: Gao, Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021
(GradCache). The batch is described without a graph; the losses see all of it and give the gradient of every
descriptor; each part is described again, with a graph, and its share of that gradient goes back through the student.
Summing the losses of the parts would not do: a contrastive loss over 8 images has 7 negatives, however many parts.

Batch norm sees the parts, not the batch, as it would with a small batch; its running statistics move once a step,
because the first pass leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from distill.training.trained_student import Described, batch_norms

Losses = Callable[[Described], tuple[Tensor, dict[str, Tensor]]]


def backward_in_parts(
    describe: Callable[[int], Described],
    num_parts: int,
    losses: Losses,
    backward: Callable[[Tensor], None],
    no_sync: Callable[[], AbstractContextManager[None]],
    model: nn.Module,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Accumulate the gradients of one step; returns the loss of the whole batch and its parts by name, detached.

    `describe(i)` describes part i, the same way each time it is called. Processes exchange gradients with the last
    part only: the others run inside `no_sync`.
    """
    with torch.no_grad(), kept_running_statistics(model):
        leaves = joined([describe(index) for index in range(num_parts)])
    fields = [tensor.requires_grad_() for tensor in _tensors(leaves)]
    total, parts = losses(leaves)
    gradients = torch.autograd.grad(total, fields, allow_unused=True)
    start = 0
    for index in range(num_parts):
        if index < num_parts - 1:
            with no_sync():
                start = _backward_part(describe(index), gradients, start, backward)
        else:
            start = _backward_part(describe(index), gradients, start, backward)
    return total.detach(), {name: part.detach() for name, part in parts.items()}


def _backward_part(
    part: Described, gradients: Sequence[Tensor | None], start: int, backward: Callable[[Tensor], None]
) -> int:
    """Send a part's rows of the gradients back; returns the row after them."""
    end = start + len(part.descriptors)
    products = [
        (tensor * gradient[start:end]).sum()
        for tensor, gradient in zip(_tensors(part), gradients, strict=True)
        if gradient is not None
    ]
    backward(torch.stack(products).sum())
    return end


def joined(parts: Sequence[Described]) -> Described:
    """The parts as one."""
    wide = [part.wide for part in parts if part.wide is not None]
    return Described(
        torch.cat([part.descriptors for part in parts]),
        torch.cat([part.features for part in parts]),
        torch.cat(wide) if wide else None,
    )


def _tensors(described: Described) -> list[Tensor]:
    tensors = [described.descriptors, described.features]
    return tensors if described.wide is None else [*tensors, described.wide]


@contextmanager
def kept_running_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the batch as ever, but what passes does not move their running statistics."""
    layers = [layer for layer in batch_norms(model) if isinstance(layer, nn.modules.batchnorm._NormBase)]
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked = layer.num_batches_tracked.clone()
        yield
    finally:
        for layer, momentum, tracked in kept:
            layer.momentum, layer.num_batches_tracked = momentum, tracked
