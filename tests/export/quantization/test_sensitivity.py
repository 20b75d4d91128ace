"""Sensitivity op by op, and multiply-accumulates counted from shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.quantization.graph import ObservedTrunk
from export.quantization.macs import int8_share, macs
from export.quantization.ops import int8_ops
from export.quantization.sensitivity import sensitivities
from export.quantization.simulate import in_float, rounding, simulate


@torch.inference_mode()
def test_the_sensitivity_of_an_op_is_the_error_with_that_op_alone_in_int8(observed: ObservedTrunk) -> None:
    """The float run that is kept and gone on from gives what a whole run of that graph gives."""
    modules = rounding(observed.graph, "minmax")

    def describe(features: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(features.mean(dim=(2, 3)))

    steps: list[tuple[int, int]] = []
    found = sensitivities(
        observed.graph, modules, describe, observed.batches, lambda done, total: steps.append((done, total))
    )
    names = int8_ops(observed.graph)
    assert tuple(found) == names
    assert steps == [(number + 1, len(names)) for number in range(len(names))]  # 8 views are one batch
    (batch,) = observed.batches
    expected = describe(in_float(observed.graph)(batch))
    for name in names:
        alone = simulate(observed.graph, modules, [other for other in names if other != name])
        error = (1 - (expected * describe(alone(batch))).sum(dim=1)).mean()
        assert found[name] == pytest.approx(float(error), abs=1e-6)
    assert max(found.values()) > 1e-5


def test_macs_are_output_values_times_what_each_of_them_reads(observed: ObservedTrunk) -> None:
    """A 32 x 32 image becomes 16 x 16 = 256 places of 8 channels. The stem's values read 3 x 3 x 3, the depthwise
    ones 3 x 3, the 1 x 1 convolutions 8; an addition multiplies nothing.
    """
    counted = macs(observed.graph)
    places = 256 * 8
    assert counted == {
        "conv2d": places * 27,
        "conv2d_1": places * 9,
        "conv2d_2": places * 8,
        "conv2d_3": places * 8,
        "conv2d_4": places * 8,
    }
    # 60 in all; with the last two in float 44 of them are int8, and with as many again outside the graph 44 of 120.
    int8 = ("conv2d", "conv2d_1", "conv2d_2", "add")
    assert int8_share(counted, int8, 0) == pytest.approx(44 / 60)
    assert int8_share(counted, int8, places * 60) == pytest.approx(44 / 120)


def test_attention_counts_both_of_its_products() -> None:
    """2 heads of 5 queries, 7 keys and 3 numbers each: queries by keys 2 * 5 * 7 * 3, weights by values as many."""

    class Attention(nn.Module):
        def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(queries, keys, keys)

    example = torch.zeros(1, 2, 5, 3), torch.zeros(1, 2, 7, 3)
    traced = torch.export.export(Attention(), example).module()
    assert macs(traced) == {"scaled_dot_product_attention": 2 * 2 * 5 * 7 * 3}
