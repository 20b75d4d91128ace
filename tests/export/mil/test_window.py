"""Convolution and pooling against their definitions, written as loops, over strides, paddings, dilations and groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)

from export.mil.ops_window import padding

RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def pads_by_definition(kind: str, custom, sizes, kernel, strides) -> list[tuple[int, int]]:
    """TensorFlow's SAME: out = ceil(in / stride), total = (out - 1) * stride + kernel - in, the odd one after."""
    pairs = []
    for index, (size, width, stride) in enumerate(zip(sizes, kernel, strides, strict=True)):
        if kind == "custom":
            pairs.append((custom[2 * index], custom[2 * index + 1]))
            continue
        total = 0 if kind == "valid" else max(0, (math.ceil(size / stride) - 1) * stride + width - size)
        small, large = total // 2, total - total // 2
        pairs.append((large, small) if kind == "same_lower" else (small, large))
    return pairs


def convolution(x, weight, bias, strides, pads, dilations, groups) -> np.ndarray:
    """out[n, o, p] = bias[o] + sum over the group's c and taps k: weight[o, c, k] * x[n, c, p * s + k * d]."""
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads])
    kernel, per_group = weight.shape[2:], weight.shape[0] // groups
    sizes = [
        (size - (width - 1) * dilation - 1) // stride + 1
        for size, width, dilation, stride in zip(x.shape[2:], kernel, dilations, strides, strict=True)
    ]
    out = np.zeros((x.shape[0], weight.shape[0], *sizes))
    for place in itertools.product(range(weight.shape[0]), *map(range, sizes)):
        channel, position = place[0], place[1:]
        first = channel // per_group * weight.shape[1]
        for tap in itertools.product(*map(range, kernel)):
            at = [p * s + t * d for p, s, t, d in zip(position, strides, tap, dilations, strict=True)]
            inputs = x[(slice(None), slice(first, first + weight.shape[1]), *at)]
            out[(slice(None), channel, *position)] += inputs @ weight[(channel, slice(None), *tap)]
    return out + bias.reshape(1, -1, *[1] * len(kernel))


def pooled(x, kernel, strides, pads, reduce, fill: float) -> np.ndarray:
    x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    sizes = [(size - k) // s + 1 for size, k, s in zip(x.shape[2:], kernel, strides, strict=True)]
    out = np.zeros((*x.shape[:2], *sizes), dtype=np.float32)
    for position in itertools.product(*map(range, sizes)):
        window = tuple(slice(p * s, p * s + k) for p, s, k in zip(position, strides, kernel, strict=True))
        out[(..., *position)] = reduce(x[(..., *window)], axis=tuple(range(2, x.ndim)))
    return out


# name: input, weight, strides, pad type, custom pad, dilations, groups
CONVOLUTIONS = {
    "pointwise": ((1, 5, 4, 4), (3, 5, 1, 1), (1, 1), "valid", None, (1, 1), 1),
    "same": ((1, 3, 7, 6), (4, 3, 3, 3), (1, 1), "same", None, (1, 1), 1),
    "same_stride_2_even": ((1, 3, 8, 6), (4, 3, 3, 3), (2, 2), "same", None, (1, 1), 1),
    "same_lower_stride_2": ((1, 3, 8, 7), (4, 3, 3, 3), (2, 2), "same_lower", None, (1, 1), 1),
    "same_kernel_5_stride_3": ((1, 2, 10, 11), (2, 2, 5, 5), (3, 3), "same", None, (1, 1), 1),
    "same_stride_over_kernel": ((1, 2, 7, 7), (2, 2, 1, 1), (2, 2), "same", None, (1, 1), 1),
    "custom_uneven": ((1, 3, 5, 5), (2, 3, 3, 3), (2, 1), "custom", (0, 1, 2, 1), (1, 1), 1),
    "custom_even": ((1, 3, 6, 6), (2, 3, 3, 3), (2, 2), "custom", (1, 1, 1, 1), (1, 1), 1),
    "uneven_kernel": ((1, 3, 6, 9), (2, 3, 1, 4), (1, 2), "same", None, (1, 1), 1),
    "dilated": ((1, 2, 9, 9), (3, 2, 3, 3), (1, 1), "custom", (2, 2, 1, 3), (2, 3), 1),
    "grouped": ((1, 4, 5, 5), (6, 2, 3, 3), (1, 1), "same", None, (1, 1), 2),
    "depthwise": ((1, 6, 7, 7), (6, 1, 3, 3), (2, 2), "same", None, (1, 1), 6),
    "depthwise_times_2": ((1, 3, 5, 5), (6, 1, 3, 3), (1, 1), "valid", None, (1, 1), 3),
    "one_dimension": ((1, 3, 9), (2, 3, 3), (2,), "custom", (1, 0), (1,), 1),
    "three_dimensions": ((1, 2, 4, 5, 4), (2, 2, 2, 3, 1), (1, 2, 1), "same", None, (1, 1, 1), 1),
}  # fmt: skip

# name: input, kernel, strides, pad type, custom pad
POOLS = {
    "valid": ((1, 2, 7, 6), (3, 2), (2, 2), "valid", None),
    "same": ((1, 2, 8, 7), (3, 3), (2, 2), "same", None),
    "same_lower": ((1, 2, 8, 7), (3, 3), (2, 2), "same_lower", None),
    "custom_even": ((1, 2, 8, 8), (3, 3), (2, 2), "custom", (1, 1, 1, 1)),
    "custom_uneven": ((1, 2, 6, 6), (3, 3), (2, 1), "custom", (0, 1, 1, 0)),
    "whole_map": ((1, 3, 4, 5), (4, 5), (4, 5), "valid", None),
    "one_dimension": ((1, 2, 9), (3,), (2,), "custom", (1, 1)),
}


@pytest.fixture(scope="module")
def cases(evaluate_operations):
    """name -> (what the evaluator gives, what the definition gives), all read from one saved program."""
    operations, expected = {}, {}

    def add(name, build, x, wanted):
        operations[name], expected[name] = (build, (x,)), wanted

    for name, (shape, kernel, strides, kind, custom, dilations, groups) in CONVOLUTIONS.items():
        x, weight, bias = values(*shape), values(*kernel), values(kernel[0])
        reach = [(k - 1) * d + 1 for k, d in zip(kernel[2:], dilations, strict=True)]
        pads = pads_by_definition(kind, custom, shape[2:], reach, strides)
        options = {
            "strides": strides,
            "pad_type": kind,
            "dilations": dilations,
            "groups": groups,
            "weight": weight,
            "bias": bias,
        }
        options |= {"pad": custom} if custom else {}
        wanted = convolution(x, weight, bias, strides, pads, dilations, groups)
        add(f"conv_{name}", lambda v, options=options: mb.conv(x=v, **options), x, wanted)
    for name, (shape, kernel, strides, kind, custom) in POOLS.items():
        x = values(*shape) - 3  # mostly negative: a maximum that took the padding for 0 would be wrong
        pads = pads_by_definition(kind, custom, shape[2:], kernel, strides)
        options = {"kernel_sizes": kernel, "strides": strides, "pad_type": kind} | ({"pad": custom} if custom else {})
        add(f"max_{name}", lambda v, o=options: mb.max_pool(x=v, **o), x,
            pooled(x, kernel, strides, pads, np.max, -np.inf))  # fmt: skip
        for excluded in (False, True):
            fill = np.nan if excluded else 0.0
            reduce = np.nanmean if excluded else np.mean
            add(f"avg_{name}_{excluded}",
                lambda v, o=options, e=excluded: mb.avg_pool(x=v, exclude_padding_from_average=e, **o), x,
                pooled(x, kernel, strides, pads, reduce, fill))  # fmt: skip
    computed = evaluate_operations(operations)
    return {name: (computed[name], expected[name]) for name in operations}


NAMES = [
    *(f"conv_{name}" for name in CONVOLUTIONS),
    *(f"max_{name}" for name in POOLS),
    *(f"avg_{name}_{excluded}" for name in POOLS for excluded in (False, True)),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_window_operation_is_its_definition(cases, name: str) -> None:
    computed, expected = cases[name]
    np.testing.assert_allclose(computed, expected, atol=1e-5)


def test_ceil_mode_covers_the_rest_of_the_map_by_hand(evaluate_operations) -> None:
    """0..4, windows of 2 by 2: the last one holds 4 alone."""
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    options = {"kernel_sizes": [2], "strides": [2], "pad_type": "valid", "ceil_mode": True}
    found = evaluate_operations({
        "max": (lambda v: mb.max_pool(x=v, **options), (x,)),
        "avg": (lambda v: mb.avg_pool(x=v, **options), (x,)),
    })  # fmt: skip
    assert found["max"].tolist() == [[[1.0, 3.0, 4.0]]]
    assert found["avg"].tolist() == [[[0.5, 2.5, 4.0]]]


def test_padding_comes_before_and_after_in_the_order_of_the_dimensions(evaluate_operations) -> None:
    x = values(1, 2, 3)
    found = evaluate_operations(
        {"pad": (lambda v: mb.pad(x=v, pad=[0, 1, 2, 0], mode="constant", constant_val=7.0), (x,))}
    )
    expected = np.pad(x, [(0, 0), (0, 1), (2, 0)], constant_values=7.0)
    np.testing.assert_array_equal(found["pad"], expected)


def test_upsampling_samples_the_grid_points_of_the_operation_reference(evaluate_operations) -> None:
    """The values [0, 1] to 5 places, as coremltools' page on upsample_bilinear gives them for both forms."""
    x = np.array([0.0, 1.0], dtype=np.float32).reshape(1, 1, 1, 2)

    def up(corners: bool):
        return lambda v: mb.upsample_bilinear(
            x=v, scale_factor_height=1.0, scale_factor_width=2.5, align_corners=corners
        )

    found = evaluate_operations({"corners": (up(True), (x,)), "centres": (up(False), (x,))})
    np.testing.assert_allclose(found["corners"].ravel(), [0, 0.25, 0.5, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(found["centres"].ravel(), [0, 0.1, 0.5, 0.9, 1], atol=1e-6)


def test_an_unknown_kind_of_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="mirror"):
        padding("mirror", None, (3,), (3,), (1,))


def test_upsampling_both_axes_is_pytorch_s(evaluate_operations) -> None:
    x = values(1, 3, 4, 5)
    found = evaluate_operations({
        "up": (
            lambda v: mb.upsample_bilinear(
                x=v, scale_factor_height=2.0, scale_factor_width=3.0, align_corners=False, half_pixel_centers=True
            ),
            (x,),
        )
    })  # fmt: skip
    expected = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=(2, 3), mode="bilinear")
    np.testing.assert_allclose(found["up"], expected.numpy(), atol=1e-6)
