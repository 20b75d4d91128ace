"""Every operation that is no window, quantisation or constant, against NumPy's or its formula's own values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)

from export.mil.operations import OPERATIONS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
Y = RNG.standard_normal((2, 3, 4)).astype(np.float32)
ROW = RNG.standard_normal((4,)).astype(np.float32)  # broadcast against X
POSITIVE = np.abs(X) + 0.1
EDGES = np.array([-7.0, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.5, 6.0, 7.0], dtype=np.float32)
TINY = np.array([0.0, 1e-12, 1e-4], dtype=np.float32)
MAP = RNG.standard_normal((1, 3, 2, 2)).astype(np.float32)
GAMMA, BETA, MEAN = (RNG.standard_normal(3).astype(np.float32) for _ in range(3))
VARIANCE = np.array([0.0, 1.0, 2.5], dtype=np.float32)  # 0: only the epsilon keeps it finite
NARROW = np.full((2, 4), 3.0, dtype=np.float32)  # without variance: only the epsilon keeps it finite
MATRIX = RNG.standard_normal((5, 4)).astype(np.float32)
BATCHED = RNG.standard_normal((2, 4, 5)).astype(np.float32)
BLOCK = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    raised = np.exp(x - x.max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


def layer_norm(x, axes, epsilon, gamma=1.0, beta=0.0) -> np.ndarray:
    x = x.astype(np.float64)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def column(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, 1, 1)


# name, its operation first: (what builds it, its inputs, the value it must have)
CASES = {
    "add": (lambda x, y: mb.add(x=x, y=y), (X, Y), X + Y),
    "add broadcast": (lambda x, y: mb.add(x=x, y=y), (X, ROW), X + ROW),
    "add constant": (lambda x: mb.add(x=x, y=np.float32(0.5)), (X,), X + 0.5),
    "sub": (lambda x, y: mb.sub(x=x, y=y), (X, Y), X - Y),
    "mul": (lambda x, y: mb.mul(x=x, y=y), (X, Y), X * Y),
    "real_div": (lambda x, y: mb.real_div(x=x, y=y), (X, POSITIVE), X / POSITIVE),
    "maximum": (lambda x, y: mb.maximum(x=x, y=y), (X, Y), np.maximum(X, Y)),
    "minimum": (lambda x, y: mb.minimum(x=x, y=y), (X, Y), np.minimum(X, Y)),
    "pow": (lambda x: mb.pow(x=x, y=np.float32(1 / 3)), (POSITIVE,), POSITIVE ** np.float32(1 / 3)),
    "sqrt": (lambda x: mb.sqrt(x=x), (TINY,), np.sqrt(TINY)),
    "square": (lambda x: mb.square(x=x), (X,), X**2),
    "rsqrt default epsilon": (lambda x: mb.rsqrt(x=x), (TINY,), 1 / np.sqrt(TINY + 1e-12)),
    "rsqrt": (lambda x: mb.rsqrt(x=x, epsilon=np.float32(1e-3)), (TINY,), 1 / np.sqrt(TINY + 1e-3)),
    "inverse default epsilon": (lambda x: mb.inverse(x=x), (TINY,), 1 / (TINY + 1e-4)),
    "inverse": (lambda x: mb.inverse(x=x, epsilon=np.float32(0.5)), (TINY,), 1 / (TINY + 0.5)),
    "clip": (lambda x: mb.clip(x=x, alpha=np.float32(-1), beta=np.float32(2)), (EDGES,), EDGES.clip(-1, 2)),
    "clip one side": (
        lambda x: mb.clip(x=x, alpha=np.float32(1e-6), beta=np.float32(np.inf)), (EDGES,), EDGES.clip(1e-6, None)),
    "cast towards zero": (
        lambda x: mb.cast(x=mb.cast(x=x, dtype="int32"), dtype="fp32"), (EDGES,), [-7, -2, -1, 0, 0, 0, 1, 2, 6, 7]),
    "cast to bool": (
        lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="fp32"), (EDGES,), [1, 1, 1, 0, 0, 1, 1, 1, 1, 1]),
    "relu": (lambda x: mb.relu(x=x), (EDGES,), [0, 0, 0, 0, 0, 0.5, 1, 2.5, 6, 7]),
    "relu6": (lambda x: mb.relu6(x=x), (EDGES,), [0, 0, 0, 0, 0, 0.5, 1, 2.5, 6, 6]),
    "thresholded_relu keeps alpha": (
        lambda x: mb.thresholded_relu(x=x, alpha=np.float32(1)), (EDGES,), [0, 0, 0, 0, 0, 0, 1, 2.5, 6, 7]),
    "sigmoid": (lambda x: mb.sigmoid(x=x), (EDGES,), sigmoid(EDGES)),
    "sigmoid_hard": (
        lambda x: mb.sigmoid_hard(x=x, alpha=np.float32(1 / 6), beta=np.float32(0.5)), (EDGES,),
        (EDGES / 6 + 0.5).clip(0, 1)),
    "silu": (lambda x: mb.silu(x=x), (EDGES,), EDGES * sigmoid(EDGES)),
    "gelu": (lambda x: mb.gelu(x=x), (EDGES,), gelu_exact(EDGES)),
    "gelu tanh": (lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"), (EDGES,), gelu_tanh(EDGES)),
    "gelu sigmoid": (lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), (EDGES,), EDGES * sigmoid(1.702 * EDGES)),
    "softmax": (lambda x: mb.softmax(x=x, axis=-1), (X,), softmax(X, -1)),
    "softmax of large values": (lambda x: mb.softmax(x=x, axis=1), (X * 1000,), softmax(X * 1000, 1)),
    "batch_norm": (
        lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA, epsilon=np.float32(1e-3)),
        (MAP,),
        (MAP - column(MEAN)) / np.sqrt(column(VARIANCE) + 1e-3) * column(GAMMA) + column(BETA)),
    "batch_norm alone": (
        lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE), (MAP,),
        (MAP - column(MEAN)) / np.sqrt(column(VARIANCE) + 1e-5)),
    "layer_norm": (
        lambda x: mb.layer_norm(x=x, axes=[-1], gamma=ROW, beta=ROW + 1, epsilon=np.float32(1e-6)), (X,),
        layer_norm(X, (-1,), 1e-6, ROW, ROW + 1)),
    "layer_norm of two axes": (
        lambda x: mb.layer_norm(x=x, axes=[1, 2], gamma=X[0], beta=Y[0], epsilon=np.float32(1e-5)), (Y,),
        layer_norm(Y, (1, 2), 1e-5, X[0], Y[0])),
    "layer_norm without variance": (lambda x: mb.layer_norm(x=x, axes=[1]), (NARROW,), np.zeros_like(NARROW)),
    "layer_norm where epsilon rules": (
        lambda x: mb.layer_norm(x=x, axes=[0], epsilon=np.float32(1.0)), (TINY,), layer_norm(TINY, (0,), 1.0)),
    "linear": (lambda x: mb.linear(x=x, weight=MATRIX, bias=MATRIX[:, 0]), (X,), X @ MATRIX.T + MATRIX[:, 0]),
    "linear without bias": (lambda x: mb.linear(x=x, weight=MATRIX), (X,), X @ MATRIX.T),
    "matmul": (lambda x, y: mb.matmul(x=x, y=y), (X, BATCHED), X @ BATCHED),
    "matmul transposed": (
        lambda x, y: mb.matmul(x=x, y=y, transpose_x=True, transpose_y=True), (BATCHED, X),
        BATCHED.transpose(0, 2, 1) @ X.transpose(0, 2, 1)),
    "reduce_mean": (lambda x: mb.reduce_mean(x=x, axes=[-1], keep_dims=True), (X,), X.mean(-1, keepdims=True)),
    "reduce_mean dropped": (lambda x: mb.reduce_mean(x=x, axes=[0, 2], keep_dims=False), (X,), X.mean((0, 2))),
    "reduce_sum": (lambda x: mb.reduce_sum(x=x, axes=[1], keep_dims=False), (X,), X.sum(1)),
    "reduce_l2_norm": (
        lambda x: mb.reduce_l2_norm(x=x, axes=[1], keep_dims=True), (X,), np.linalg.norm(X, axis=1, keepdims=True)),
    "concat": (lambda x, y: mb.concat(values=[x, y], axis=-1), (X, Y), np.concatenate([X, Y], -1)),
    "concat with a constant": (lambda x: mb.concat(values=[Y, x], axis=0), (X,), np.concatenate([Y, X])),
    "concat interleaved": (  # the example of the operation reference, transposed
        lambda x, y: mb.concat(values=[x, y], axis=1, interleave=True), (BLOCK, -BLOCK),
        np.stack([BLOCK, -BLOCK], 2).reshape(2, 6, 4)),
    "expand_dims": (lambda x: mb.expand_dims(x=x, axes=[0, -1]), (X,), X[None, ..., None]),
    "squeeze": (lambda x: mb.squeeze(x=x, axes=[0]), (X[:1],), X[0]),
    "identity": (lambda x: mb.identity(x=x), (X,), X),
    "reshape": (lambda x: mb.reshape(x=x, shape=[4, -1]), (BLOCK,), BLOCK.reshape(4, 6)),
    "reshape that keeps sizes": (lambda x: mb.reshape(x=x, shape=[0, -1, 2]), (BLOCK,), BLOCK.reshape(2, 6, 2)),
    "transpose": (lambda x: mb.transpose(x=x, perm=[2, 0, 1]), (BLOCK,), BLOCK.transpose(2, 0, 1)),
    "tile": (lambda x: mb.tile(x=x, reps=[1, 2, 3]), (BLOCK,), np.tile(BLOCK, (1, 2, 3))),
    "split equal": (lambda x: mb.split(x=x, num_splits=2, axis=-1)[1], (BLOCK,), BLOCK[..., 2:]),
    "split by sizes": (lambda x: mb.split(x=x, split_sizes=[1, 2], axis=1)[1], (BLOCK,), BLOCK[:, 1:]),
    "slice_by_index": (
        lambda x: mb.slice_by_index(x=x, begin=[0, 1, 0], end=[1, 3, 4], stride=[1, 1, 2]), (BLOCK,),
        BLOCK[0:1, 1:3, 0:4:2]),
    "slice_by_index masked": (
        lambda x: mb.slice_by_index(
            x=x, begin=[1, 1, 1], end=[1, 1, 3], begin_mask=[True, False, False], end_mask=[True, True, False],
            squeeze_mask=[False, False, False]), (BLOCK,), BLOCK[:, 1:, 1:3]),
    "slice_by_index as an index": (
        lambda x: mb.slice_by_index(
            x=x, begin=[0, -1, 0], end=[2, 0, 4], squeeze_mask=[False, True, False]), (BLOCK,), BLOCK[:, -1]),
}  # fmt: skip


@pytest.fixture(scope="module")
def computed(evaluate_operations):
    return evaluate_operations({name: case[:2] for name, case in CASES.items()})


@pytest.mark.parametrize("name", CASES)
def test_an_operation_is_its_definition(computed, name: str) -> None:
    expected = np.asarray(CASES[name][2])
    assert computed[name].shape == expected.shape
    np.testing.assert_allclose(computed[name], expected, rtol=2e-6, atol=2e-6)


def test_every_operation_has_a_case_here_or_in_the_files_beside() -> None:
    beside = {
        "conv", "max_pool", "avg_pool", "pad", "upsample_bilinear",
        "quantize", "dequantize", "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale",
    }  # fmt: skip
    assert {name.split()[0] for name in CASES} | beside == OPERATIONS.keys()
