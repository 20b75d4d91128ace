"""The trunk as one statically quantised graph, which ExecuTorch, Core ML and TorchScript then lower each in its way.

PT2E (torchao) with ExecuTorch's XNNPACK quantizer: int8 weights, symmetric, a scale per output channel; int8
activations, affine, a scale per tensor, ranges by histogram over the calibration views. The trunk is quantised apart
from what surrounds it, so the pixel normalisation before it and GeM, head and L2 after it stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

from export.calibration import CalibrationSet
from export.pixels import PixelStudent, to_batch

RECIPE = "PT2E static W8A8: weights int8 per channel symmetric, activations int8 per tensor affine (histogram)"

_aten = torch.ops.aten
CLAMPS = frozenset({_aten.hardtanh.default, _aten.hardtanh_.default, _aten.relu.default, _aten.relu_.default})
MATMULS = frozenset({_aten.conv2d.default, _aten.linear.default})


class TrunkQuantizer(XNNPACKQuantizer):
    """XNNPACK's quantizer, with a convolution and the ReLU or ReLU6 after it observed as one op.

    As it comes, it observes the convolution's output before a ReLU6, so that the 8-bit range is spent on values the
    clamp throws away (docs/decisions/0002-quantise-the-trunk-apart.md).
    """

    def annotate(self, model: GraphModule) -> GraphModule:
        annotated: GraphModule = super().annotate(model)
        for node in annotated.graph.nodes:
            if node.target in CLAMPS:
                _observe_after_clamp(node)
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


def quantize_trunk(
    student: PixelStudent, calibration: CalibrationSet, on_view: Callable[[int, int], None] = lambda _done, _all: None
) -> GraphModule:
    """Normalised images (1, 3, S, S) -> trunk features, with quantize / dequantize pairs around every op.

    `on_view` is called with the views observed so far and the number of all.
    """
    quantizer = TrunkQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    batches = [student.normalize(to_batch(view)) for view in calibration.views]
    exported = torch.export.export(student.trunk, (batches[0],)).module()
    observed = prepare_pt2e(exported, quantizer)
    with torch.inference_mode():
        for index, batch in enumerate(batches):
            observed(batch)
            on_view(index + 1, len(batches))
    quantized: GraphModule = convert_pt2e(observed)
    return without_guards(quantized)


def without_guards(graph_module: GraphModule) -> GraphModule:
    """Drop the input-shape guards that `torch.export` leaves in a graph: converters refuse the call."""
    for node in list(graph_module.graph.nodes):
        if node.op == "call_module" and not node.users and "guard" in str(node.target):
            graph_module.graph.erase_node(node)
    graph_module.recompile()
    return graph_module
