"""Operations that move values and change none; parameter names are MIL's.

Source: coremltools/converters/mil/mil/ops/defs (tensor_transformation, tensor_operation), iOS 15 to 18.
"""

from __future__ import annotations

import torch
from torch import Tensor

Ints = tuple[int, ...]
Flags = tuple[bool, ...]


def identity(x: Tensor) -> Tensor:
    return x


def reshape(x: Tensor, shape: Ints) -> Tensor:
    """-1 is what is left; 0 keeps the size that the dimension has, where the rank stays the same."""
    sizes = [x.shape[dim] if size == 0 and len(shape) == x.ndim else size for dim, size in enumerate(shape)]
    return x.reshape(sizes)


def transpose(x: Tensor, perm: Ints) -> Tensor:
    return x.permute(perm)


def expand_dims(x: Tensor, axes: Ints) -> Tensor:
    """`axes` are places in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


def concat(values: tuple[Tensor, ...], axis: int, interleave: bool = False) -> Tensor:
    """Interleaved, the first slice of each value comes before the second of any."""
    if not interleave:
        return torch.cat(values, axis)
    axis = axis % values[0].ndim
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def split(x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None) -> tuple[Tensor, ...]:
    if split_sizes is not None:
        return torch.split(x, list(split_sizes), axis)
    if num_splits is None or x.shape[axis] % num_splits:
        raise ValueError(f"split of size {x.shape[axis]} into {num_splits} equal parts")
    return torch.split(x, x.shape[axis] // num_splits, axis)


def tile(x: Tensor, reps: Ints) -> Tensor:
    return x.repeat(reps)


def slice_by_index(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Flags | None = None,
    end_mask: Flags | None = None,
    squeeze_mask: Flags | None = None,
) -> Tensor:
    """x[begin:end:stride] in every dimension; a mask drops a bound, or makes the dimension a single index."""
    index: list[slice | int] = []
    for dim in range(x.ndim):
        if squeeze_mask and squeeze_mask[dim]:
            index.append(begin[dim])
            continue
        step = stride[dim] if stride else 1
        if step < 1:
            raise ValueError(f"slice_by_index with stride {step}")
        start = None if begin_mask and begin_mask[dim] else begin[dim]
        stop = None if end_mask and end_mask[dim] else end[dim]
        index.append(slice(start, stop, step))
    return x[tuple(index)]
