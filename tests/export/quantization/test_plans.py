"""Every choice of a plan: exact where it claims to be, better where it is meant to be, and simulated as converted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from export.bundle.pixels import PixelStudent
from export.quantization.equalise import equalise
from export.quantization.graph import ObservedTrunk, to_int8, without_guards
from export.quantization.ops import int8_ops, leave_in_float
from export.quantization.plan import ESTIMATORS, QuantizationPlan
from export.quantization.simulate import batch_size, in_float, rounding, simulate
from icd_mobile.errors import InputError

CONVNET_OPS = ("conv2d", "conv2d_1", "conv2d_2", "add", "conv2d_3", "conv2d_4")
QUANTIZED = torch.ops.quantized_decomposed


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


def test_equalisation_changes_nothing_in_float(
    convnet: PixelStudent, equalised: ObservedTrunk, transformer: PixelStudent, equalised_transformer: ObservedTrunk
) -> None:
    with torch.inference_mode():
        for student, other in ((convnet, equalised), (transformer, equalised_transformer)):
            for batch in other.batches:
                torch.testing.assert_close(in_float(other.graph)(batch), student.trunk(batch), rtol=1e-4, atol=1e-4)


def test_equalisation_moves_scales_from_a_layer_norm_into_the_linear_behind_it(
    transformer: PixelStudent, equalised_transformer: ObservedTrunk
) -> None:
    """And leaves the student as it was: its own weights are what is compared with."""
    graph, trunk = equalised_transformer.graph, transformer.trunk
    scales = trunk.norm.weight / graph.norm.weight
    assert scales.std() > 0.1
    torch.testing.assert_close(graph.norm.bias, trunk.norm.bias / scales)
    torch.testing.assert_close(graph.inner.weight, trunk.inner.weight * scales)
    torch.testing.assert_close(graph.outer.weight, trunk.outer.weight)  # GELU stands between


def test_equalisation_does_not_cross_a_relu6(convnet: PixelStudent, equalised: ObservedTrunk) -> None:
    """stem -> ReLU has two readers, depthwise -> ReLU6 -> project is not scale-free, expand -> SiLU neither."""
    for name in ("depthwise", "project", "expand", "last"):
        torch.testing.assert_close(
            equalised.graph.get_submodule(name).weight, convnet.trunk.get_submodule(name).weight, rtol=0, atol=0
        )


def test_equalisation_crosses_a_relu_into_the_one_convolution_behind_it() -> None:
    """Equation 4 of SmoothQuant by hand: channels that reach 4 and 1, read with weights up to 1: divided by 2 and 1."""
    chain = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1)).eval().requires_grad_(False)
    chain[0].weight.zero_()
    chain[0].bias.copy_(torch.tensor([4.0, 1.0]))
    chain[2].weight.fill_(1.0)
    image = torch.zeros(1, 3, 4, 4)
    graph = torch.export.export(chain, (image,)).module()
    expected = chain(image)
    (pair,) = equalise(without_guards(graph), [image])
    assert (pair.source, pair.between, pair.readers) == ("conv2d", "relu", ("conv2d_1",))
    torch.testing.assert_close(graph.get_parameter("0.bias"), torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(graph.get_parameter("2.weight")[0, :, 0, 0], torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(graph(image), expected)


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
    observed: ObservedTrunk, equalised_transformer: ObservedTrunk
) -> None:
    assert batch_size(observed.graph) == 8
    assert batch_size(equalised_transformer.graph) == 1
