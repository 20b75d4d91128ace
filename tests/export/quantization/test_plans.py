"""Every choice of a plan: exact where it claims to be, better where it is meant to be, and simulated as converted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.errors import InputError
from export.pixels import PixelStudent
from export.quantization.graph import ObservedTrunk, observe_trunk, to_int8
from export.quantization.ops import int8_ops, leave_in_float
from export.quantization.plan import ESTIMATORS, QuantizationPlan
from export.quantization.simulate import batch_size, in_float, rounding, simulate

CONVNET_OPS = ("conv2d", "conv2d_1", "conv2d_2", "add", "conv2d_3", "conv2d_4")
QUANTIZED = torch.ops.quantized_decomposed


@pytest.fixture(scope="module")
def observed(convnet: PixelStudent, views: np.ndarray) -> ObservedTrunk:
    return observe_trunk(convnet, views, equalised=False)


def _targets(graph_module: torch.fx.GraphModule) -> list[object]:
    return [node.target for node in graph_module.graph.nodes]


@torch.inference_mode()
def _simulated(observed: ObservedTrunk, plan: QuantizationPlan) -> Tensor:
    modules = rounding(observed.graph, plan.estimator)
    biases = observed.corrected_biases(modules, plan.float_ops) if plan.bias_corrected else None
    return torch.cat([simulate(observed.graph, modules, plan.float_ops, biases)(one) for one in observed.batches])


@torch.inference_mode()
def _converted(observed: ObservedTrunk, plan: QuantizationPlan) -> Tensor:
    return torch.cat([to_int8(observed, plan)(batch) for batch in observed.batches])


@torch.inference_mode()
def _float(student: PixelStudent, observed: ObservedTrunk) -> Tensor:
    return torch.cat([student.trunk(batch) for batch in observed.batches])


def test_the_int8_ops_are_convolutions_and_the_addition_a_clamp_belongs_to_its_convolution(
    observed: ObservedTrunk,
) -> None:
    assert int8_ops(observed.graph) == CONVNET_OPS


def test_with_every_op_in_float_nothing_is_quantised(convnet: PixelStudent, observed: ObservedTrunk) -> None:
    converted = to_int8(observed, QuantizationPlan(float_ops=CONVNET_OPS))
    assert not [target for target in _targets(converted) if "quantize" in str(target)]
    torch.testing.assert_close(_converted(observed, QuantizationPlan(float_ops=CONVNET_OPS)), _float(convnet, observed))


def test_an_op_alone_in_float_keeps_float_weights_between_tensors_that_its_neighbours_quantise(
    observed: ObservedTrunk,
) -> None:
    whole, without = to_int8(observed, QuantizationPlan()), to_int8(observed, QuantizationPlan(float_ops=("conv2d_2",)))
    per_channel = QUANTIZED.dequantize_per_channel.default
    assert _targets(whole).count(per_channel) == 5  # five convolutions
    assert _targets(without).count(per_channel) == 4
    quantize = QUANTIZED.quantize_per_tensor.default
    assert _targets(without).count(quantize) == _targets(whole).count(quantize)


def test_a_tensor_stays_in_float_where_both_of_its_ends_do(observed: ObservedTrunk) -> None:
    """`add` takes conv2d_2's output and the stem's, gives conv2d_3's; conv2d_2's alone is spared."""
    quantize = QUANTIZED.quantize_per_tensor.default
    whole = to_int8(observed, QuantizationPlan())
    without = to_int8(observed, QuantizationPlan(float_ops=("conv2d_2", "add")))
    assert _targets(without).count(quantize) == _targets(whole).count(quantize) - 1


def test_a_name_that_is_no_op_is_refused(observed: ObservedTrunk) -> None:
    with pytest.raises(ValueError, match="conv9 is no int8 op"):
        leave_in_float(observed.graph, ("conv9",))


def test_a_mistyped_estimator_is_answered_with_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'percentile'"):
        QuantizationPlan(estimator="percentil")


@settings(max_examples=12, deadline=None)
@given(
    estimator=st.sampled_from(ESTIMATORS),
    bias_corrected=st.booleans(),
    float_ops=st.lists(st.sampled_from(CONVNET_OPS), unique=True),
)
def test_what_is_simulated_is_what_is_converted(
    observed: ObservedTrunk, estimator: str, bias_corrected: bool, float_ops: list[str]
) -> None:
    """The same integers: a value that rounds the other way would move the output by far more than the tolerance."""
    plan = QuantizationPlan(estimator, bias_corrected=bias_corrected, float_ops=tuple(float_ops))
    torch.testing.assert_close(_simulated(observed, plan), _converted(observed, plan), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["convnet", "transformer"])
def test_equalisation_changes_nothing_in_float(kind: str, views: np.ndarray, request: pytest.FixtureRequest) -> None:
    student: PixelStudent = request.getfixturevalue(kind)
    before = {name: values.clone() for name, values in student.trunk.state_dict().items()}
    plain, equalised = (observe_trunk(student, views, equalised) for equalised in (False, True))
    with torch.inference_mode():
        for batch in plain.batches:
            torch.testing.assert_close(in_float(equalised.graph)(batch), student.trunk(batch), rtol=1e-4, atol=1e-4)
    for name, values in student.trunk.state_dict().items():
        torch.testing.assert_close(values, before[name], rtol=0, atol=0)


def test_equalisation_moves_scales_from_a_layer_norm_into_the_linear_behind_it(
    transformer: PixelStudent, views: np.ndarray
) -> None:
    equalised = observe_trunk(transformer, views, equalised=True)
    scales = transformer.trunk.norm.weight / equalised.graph.norm.weight
    assert scales.std() > 0.1
    torch.testing.assert_close(equalised.graph.inner.weight, transformer.trunk.inner.weight * scales)
    torch.testing.assert_close(equalised.graph.outer.weight, transformer.trunk.outer.weight)  # GELU stands between


def test_equalisation_does_not_cross_a_relu6(convnet: PixelStudent, views: np.ndarray) -> None:
    """stem -> ReLU has two readers, depthwise -> ReLU6 -> project is not scale-free, expand -> SiLU neither."""
    equalised = observe_trunk(convnet, views, equalised=True)
    for name in ("depthwise", "project", "expand", "last"):
        torch.testing.assert_close(
            equalised.graph.get_submodule(name).weight, convnet.trunk.get_submodule(name).weight, rtol=0, atol=0
        )


def test_after_bias_correction_the_mean_of_every_output_channel_is_that_of_float(
    convnet: PixelStudent, observed: ObservedTrunk
) -> None:
    """The last op's output range rounds once more behind the bias: half a step of it may remain."""
    expected = _float(convnet, observed).mean(dim=(0, 2, 3))
    plain, corrected = (
        (_simulated(observed, QuantizationPlan(bias_corrected=correct)).mean(dim=(0, 2, 3)) - expected).abs().max()
        for correct in (False, True)
    )
    assert corrected < plain / 4


def test_a_graph_that_names_its_batch_is_run_one_image_at_a_time(
    observed: ObservedTrunk, transformer: PixelStudent, views: np.ndarray
) -> None:
    assert batch_size(observed.graph) == 8
    assert batch_size(observe_trunk(transformer, views[:1], equalised=False).graph) == 1
