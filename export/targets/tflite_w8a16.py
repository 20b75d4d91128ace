"""TFLite with int8 weights and int16 activations, by the AI Edge Quantizer, for processors that compute int16.

The weights are the int8 integers of the one quantised graph, with biases corrected for them; activations range from the
least to the largest value that calibration saw. On a CPU the kernels of int16 are the plain ones: docs/int8.md has the
figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer

from icd_mobile.pictures.preprocessing import Pixels

RECIPE = (
    "AI Edge Quantizer static W8A16: weights int8 per channel symmetric (those of the int8 graph, biases corrected), "
    "activations int16 per tensor symmetric (minmax)"
)
_SIGNATURE, _INPUT = "serving_default", "pixels"
_NUM_NORMALISING = 2  # the first ops: pixels times scale, plus shift
# GeM, head and L2 by the name of their module, and the graph's ends, by that of the signature.
_FLOAT_ENDS = "_tail/", _SIGNATURE


def to_w8a16(content: bytes, views: Pixels) -> bytes:
    """A float model whose trunk has int8-rounded weights -> its trunk in int8 and int16; views (N, S, S, 3) uint8."""
    quantizer = Quantizer(content)
    quantizer.add_static_config(
        regex=_trunk_ops(content),
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=16,
        weight_num_bits=8,
        algorithm_key=AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    )
    return bytes(quantizer.quantize(_widest_ranges(quantizer, views)).quantized_model)


def _trunk_ops(content: bytes) -> str:
    """A pattern of the outputs of every op but the ends that stay in float.

    The normalisation must: with ranges of 2 and 1 its scales are near powers of two, and LiteRT then takes an older
    addition, which refuses an input wider than the output.
    """
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content)).subgraphs[0]
    first = [graph.tensors[op.outputs[0]].name.decode() for op in graph.operators[:_NUM_NORMALISING]]
    ends = "|".join(re.escape(part) for part in _FLOAT_ENDS)
    return f"^(?!.*({ends}))(?!({'|'.join(map(re.escape, first))});?$).*$"


def _widest_ranges(quantizer: Quantizer, views: Iterable[Pixels]) -> dict[str, dict[str, Any]]:
    """Least and largest value of each tensor; the quantizer itself keeps a moving mean of them, which cuts the rare."""
    ranges: dict[str, dict[str, Any]] = {}
    for view in views:
        sample = {_SIGNATURE: [{_INPUT: view[None].astype(np.float32)}]}
        for name, found in quantizer.calibrate(sample, num_threads=1).items():
            known = ranges.setdefault(name, found)
            if "min" in found:
                known["min"] = np.minimum(known["min"], found["min"])
                known["max"] = np.maximum(known["max"], found["max"])
    return ranges
