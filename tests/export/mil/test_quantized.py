"""float16 rounding and the quantised forms, by hand: half to even, saturation, zero points, scales along an axis."""

from __future__ import annotations

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813 (coremltools' own name for it)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from export.mil.ops_quantized import dequantize, quantize
from icd_mobile.errors import OutsideError

HALVES = np.array([-1000.0, -1.5, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 1000.0], dtype=np.float32)
GRID = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
SCALES = np.array([0.5, 1.0, 0.1], dtype=np.float32)


@pytest.fixture(scope="module")
def computed(evaluate_operations):
    def to_int8(x):
        return mb.quantize(input=x, scale=np.float32(0.5), output_dtype="int8")

    def to_uint8(x):
        return mb.quantize(input=x, scale=np.float32(0.5), zero_point=np.uint8(3), output_dtype="uint8")

    rows = np.array([[0.26, -0.26], [0.26, -0.26]], dtype=np.float32)
    two = {"scale": np.array([0.5, 0.1], dtype=np.float32), "axis": 0}
    half = np.float16(1)
    return evaluate_operations({
        "int8": (lambda x: mb.cast(x=to_int8(x), dtype="fp32"), (HALVES,)),
        "uint8": (lambda x: mb.cast(x=to_uint8(x), dtype="fp32"), (HALVES,)),
        "back": (lambda x: mb.dequantize(input=to_uint8(x), scale=np.float32(0.5), zero_point=np.uint8(3)), (HALVES,)),
        "rows": (lambda x: mb.cast(x=mb.quantize(input=x, output_dtype="int8", **two), dtype="fp32"), (rows,)),
        "rows_back": (
            lambda x: mb.dequantize(input=mb.quantize(input=x, output_dtype="int8", **two), **two), (rows,)),
        "weight": (
            lambda x: mb.add(x=x, y=mb.constexpr_affine_dequantize(
                quantized_data=GRID, zero_point=np.array([1, 0, -1], dtype=np.int8), scale=SCALES, axis=0)),
            (np.zeros((3, 4), dtype=np.float32),)),
        "float16_steps": (
            lambda x: mb.cast(x=mb.add(x=mb.add(x=mb.cast(x=x, dtype="fp16"), y=half), y=half), dtype="fp32"),
            (np.array([2048.0, 1.0], dtype=np.float32),)),
        "float16_range": (lambda x: mb.cast(x=mb.cast(x=x, dtype="fp16"), dtype="fp32"),
                          (np.array([65504.0, 65520.0, 1e-8, 0.1], dtype=np.float32),)),
    })  # fmt: skip


def test_quantize_rounds_half_to_even_and_saturates(computed) -> None:
    """Over 0.5: -2000, -3, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2000."""
    assert computed["int8"].tolist() == [-128, -3, -2, -2, 0, 0, 2, 2, 127]


def test_quantize_adds_the_zero_point_after_rounding_and_before_the_clip(computed) -> None:
    assert computed["uint8"].tolist() == [0, 0, 1, 1, 3, 3, 5, 5, 255]


def test_dequantize_takes_the_zero_point_off_without_wrapping_round(computed) -> None:
    """0 - 3 in uint8 would be 253."""
    assert computed["back"].tolist() == [-1.5, -1.5, -1, -1, 0, 0, 1, 1, 126]


def test_scales_along_an_axis_belong_to_it(computed) -> None:
    """0.26 / 0.5 = 0.52 -> 1; 0.26 / 0.1 = 2.6 -> 3."""
    assert computed["rows"].tolist() == [[1, -1], [3, -3]]
    np.testing.assert_allclose(computed["rows_back"], [[0.5, -0.5], [0.3, -0.3]], rtol=1e-6)


def test_a_weight_is_dequantised_when_the_program_loads(computed) -> None:
    expected = [[-3.5, -3, -2.5, -2], [-2, -1, 0, 1], [0.3, 0.4, 0.5, 0.6]]
    np.testing.assert_allclose(computed["weight"], expected, rtol=1e-6)


def test_a_float16_program_rounds_after_each_operation(computed) -> None:
    """float16 has steps of 2 from 2048 on: 2048 + 1 is 2048, half to even, twice; rounded once it would be 2050."""
    assert computed["float16_steps"].tolist() == [2048.0, 3.0]


def test_float16_overflows_to_infinity_and_underflows_to_zero(computed) -> None:
    """65504 is the largest; 65520 lies half way to the next, 2^-24 = 6e-8 is the smallest; 0.1 is 0.0999755859375."""
    assert computed["float16_range"].tolist() == [65504.0, np.inf, 0.0, 0.0999755859375]


def test_blocks_of_a_weight_have_scales_and_offsets_of_their_own(evaluate_operations) -> None:
    """Two blocks of two columns: (data - offset) * scale."""
    data = np.array([[1, 2, 3, 4]], dtype=np.int8)
    scale, offset = np.array([[0.5, 2.0]], dtype=np.float32), np.array([[1, -1]], dtype=np.int8)

    def build(x):
        return mb.add(x=x, y=mb.constexpr_blockwise_shift_scale(data=data, scale=scale, offset=offset))

    found = evaluate_operations({"w": (build, (np.zeros((1, 4), dtype=np.float32),))}, ct.target.iOS18)
    assert found["w"].tolist() == [[0.0, 0.5, 8.0, 10.0]]


@given(
    arrays(np.float32, 8, elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(2**-10, 2**10, width=32),
    st.integers(-128, 127),
)
def test_quantize_is_coremltools_own_value_inference(values: np.ndarray, scale: float, zero_point: int) -> None:
    """np.around(x / scale) + zero_point, clipped: coremltools/optimize/_utils.py, quantize_by_scale_and_zp."""
    expected = np.clip(np.around(values / np.float32(scale)) + np.float32(zero_point), -128, 127).astype(np.int8)
    step, zero = torch.tensor(scale), torch.tensor(zero_point, dtype=torch.int8)
    found = quantize(torch.from_numpy(values), step, "int8", zero)
    assert found.tolist() == expected.tolist()
    back = dequantize(found, step, zero)
    np.testing.assert_array_equal(back.numpy(), (expected.astype(np.float32) - zero_point) * np.float32(scale))


def test_an_operation_that_is_not_known_is_refused_by_name(save_program) -> None:
    from export.mil.evaluate import Evaluator
    from export.mil.package import read_package

    path = save_program({"r": (lambda x: mb.erf(x=mb.atan(x=x)), (HALVES,))})
    with pytest.raises(OutsideError, match="does not know atan, erf;"):
        Evaluator(read_package(path).program)
