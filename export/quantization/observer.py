"""One observer for every range estimator: it keeps a histogram, and the estimator reads the range from that."""

from __future__ import annotations

from dataclasses import replace

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
from torch import Tensor
from torch.fx import GraphModule
from torchao.quantization.pt2e.observer import HistogramObserver, PerChannelMinMaxObserver

from export.quantization.estimators import FROM_HISTOGRAM
from export.quantization.plan import HISTOGRAM

MIN_SCALE = float(torch.finfo(torch.float32).eps)


class RangeObserver(HistogramObserver):
    """torchao's histogram of everything seen. The range is torchao's own ("histogram") until `estimator` is set."""

    estimator: str = HISTOGRAM

    def _non_linear_param_search(self) -> tuple[Tensor, Tensor]:
        if self.estimator == HISTOGRAM:
            found: tuple[Tensor, Tensor] = super()._non_linear_param_search()
            return found
        counts = self.histogram.double().numpy()
        low, high = FROM_HISTOGRAM[self.estimator](counts, float(self.min_val), float(self.max_val))
        return torch.tensor(low), torch.tensor(high)


def set_estimator(observed: GraphModule, estimator: str) -> None:
    """Have every activation of an observed graph take its range by `estimator` from now on."""
    for module in observed.modules():
        if isinstance(module, RangeObserver):
            module.estimator = estimator


def int8_config() -> QuantizationConfig:
    """XNNPACK's: weights symmetric with a scale per output channel, activations affine with one scale.

    Its least scale of 2^-12 is dropped: where batch normalisation left a channel with weights below 0.03, that would
    take most of the channel's levels.
    """
    config = get_symmetric_quantization_config(is_per_channel=True)
    ranges = replace(config.input_activation, observer_or_fake_quant_ctr=RangeObserver.with_args(eps=MIN_SCALE))
    weights = replace(config.weight, observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=MIN_SCALE))
    return replace(config, input_activation=ranges, output_activation=ranges, weight=weights)
