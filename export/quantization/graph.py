"""The trunk as one statically quantised graph, which every target that can lowers in its way.

PT2E (torchao) with ExecuTorch's XNNPACK quantizer: int8 weights, symmetric, a scale per output channel; int8
activations, affine, a scale per tensor. The trunk is quantised apart from what surrounds it, so the pixel normalisation
before it and GeM, head and L2 after it stay in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec

from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import CalibrationSet
from export.quantization.bias_correction import corrected_biases
from export.quantization.equalise import equalise
from export.quantization.observer import int8_config, set_estimator
from export.quantization.ops import CLAMPS, leave_in_float
from export.quantization.parameters import replace_parameter
from export.quantization.plan import QuantizationPlan
from export.quantization.simulate import batch_size, in_float, rounding, rounding_of_weights, simulate
from icd_mobile.pictures.preprocessing import Pixels

_aten = torch.ops.aten
MATMULS = frozenset({_aten.conv2d.default, _aten.linear.default})

MAX_CORRECTING_VIEWS = 32  # side by side in memory, in float and quantised

Biases = dict[str, Tensor]
OnView = Callable[[int, int], None]  # views done, number of all


class TrunkQuantizer(XNNPACKQuantizer):
    """XNNPACK's quantizer, with a convolution and the ReLU or ReLU6 after it observed as one op, and padding as none.

    As it comes, it observes the convolution's output before a ReLU6, so that the 8-bit range is spent on values the
    clamp throws away (docs/decisions/0002-quantise-the-trunk-apart.md).
    """

    def annotate(self, model: GraphModule) -> GraphModule:
        annotated: GraphModule = super().annotate(model)
        for node in annotated.graph.nodes:
            if node.target in CLAMPS:
                _observe_after_clamp(node)
            elif node.target == _aten.pad.default:
                _share_scale(node)
        return annotated


def _observe_after_clamp(clamp: Node) -> None:
    source = clamp.args[0]
    if not isinstance(source, Node) or source.target not in MATMULS or len(source.users) != 1:
        return
    annotation = source.meta.get("quantization_annotation")
    if annotation is None or annotation.output_qspec is None:
        return
    clamp.meta["quantization_annotation"] = QuantizationAnnotation(
        output_qspec=annotation.output_qspec, _annotated=True
    )
    annotation.output_qspec = None


def _share_scale(pad: Node) -> None:
    """Zero padding has the range of what it pads: with a scale of its own, every integer would be rounded once more."""
    source = pad.all_input_nodes[0]
    annotation = source.meta.get("quantization_annotation")
    if annotation is not None and annotation.output_qspec is not None:
        pad.meta["quantization_annotation"] = QuantizationAnnotation(
            output_qspec=SharedQuantizationSpec(source), _annotated=True
        )


@dataclass(frozen=True)
class ObservedTrunk:
    """A trunk's graph with an observer behind every tensor that may become int8, which has seen the calibration views.

    `batches` are those views, normalised, (n, 3, S, S) each, n the largest that the graph takes.
    """

    graph: GraphModule
    batches: tuple[Tensor, ...]

    def corrected_biases(self, rounding_modules: Mapping[str, nn.Module], float_ops: tuple[str, ...]) -> Biases:
        """What biases become where these ops stay in float, by the name of the parameter."""
        simulated = simulate(self.graph, rounding_modules, float_ops)
        num_batches = -(-MAX_CORRECTING_VIEWS // len(self.batches[0]))
        step = -(-len(self.batches) // num_batches)
        return corrected_biases(simulated, in_float(self.graph), self.batches[::step])


def quantize_trunk(
    student: PixelStudent,
    calibration: CalibrationSet,
    plan: QuantizationPlan,
    on_view: OnView = lambda _done, _all: None,
) -> GraphModule:
    """Normalised images (1, 3, S, S) -> trunk features, with quantize / dequantize pairs around every int8 op.

    Raises:
        ValueError: the plan leaves an op in float that the trunk does not have.
    """
    return to_int8(observe_trunk(student, calibration.views, plan.equalised, on_view), plan)


def observe_trunk(
    student: PixelStudent, views: Pixels, equalised: bool, on_view: OnView = lambda _done, _all: None
) -> ObservedTrunk:
    """Export the trunk and show it the views (N, S, S, 3). Nothing is shared with the student.

    `on_view` is called with the views observed so far and the number of all.
    """
    images = torch.cat([student.normalize(to_batch(view)) for view in views])
    exported = torch.export.export(copy.deepcopy(student.trunk), (images[:1],)).module()
    quantizer = TrunkQuantizer().set_global(int8_config())
    observed: GraphModule = without_guards(prepare_pt2e(exported, quantizer))
    batches = images.split(batch_size(observed))
    if equalised:
        equalise(observed, batches)
    num_done = 0
    with torch.inference_mode():
        for batch in batches:
            observed(batch)
            num_done += len(batch)
            on_view(num_done, len(images))
    return ObservedTrunk(observed, batches)


def to_int8(observed: ObservedTrunk, plan: QuantizationPlan) -> GraphModule:
    """Integers and scales in place of the observers; `observed` stays as it is."""
    own = copy.deepcopy(observed.graph)
    if plan.bias_corrected:
        modules = rounding(own, plan.estimator)
        for name, bias in observed.corrected_biases(modules, plan.float_ops).items():
            replace_parameter(own, name, bias)
    set_estimator(own, plan.estimator)
    quantized: GraphModule = convert_pt2e(leave_in_float(own, plan.float_ops))
    return quantized


def round_weights(student: PixelStudent, views: Pixels) -> GraphModule:
    """The trunk in float with its weights rounded as int8 rounds them, and biases corrected for that.

    Activations are not rounded: for a target whose quantiser has more bits for them.
    """
    observed = observe_trunk(student, views, equalised=False)
    modules = rounding_of_weights(observed.graph)
    return simulate(observed.graph, modules, (), observed.corrected_biases(modules, ()))


def without_guards(graph_module: GraphModule) -> GraphModule:
    """Drop the input-shape guards that `torch.export` leaves in a graph: converters refuse the call."""
    for node in list(graph_module.graph.nodes):
        if node.op == "call_module" and not node.users and "guard" in str(node.target):
            graph_module.graph.erase_node(node)
    graph_module.recompile()
    return graph_module
