"""GeM and L2 against values worked by hand."""

from __future__ import annotations

import pytest
import torch

from distill.students.pooling import EPSILON, GeM, L2Normalize


def test_gem_is_the_cube_root_of_the_mean_cube() -> None:
    # Channel 0: (1 + 8 + 27 + 64) / 4 = 25, cube root 2.924018. Channel 1: all 2, so 2.
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[2.0, 2.0], [2.0, 2.0]]]])
    assert GeM()(features)[0].tolist() == pytest.approx([2.924018, 2.0], abs=1e-6)


def test_gem_clamps_negative_activations() -> None:
    # (0 + 0 + 0 + 8) / 4 = 2, cube root 1.259921: the negative ones count as 1e-6, whose cube vanishes.
    features = torch.tensor([[[[-5.0, -1.0], [0.0, 2.0]]]])
    assert GeM()(features).item() == pytest.approx(1.259921, abs=1e-6)
    nothing = GeM()(torch.full((1, 1, 2, 2), -3.0))
    assert nothing.item() == pytest.approx(EPSILON, rel=1e-3)


def test_gem_over_tokens_pools_the_token_axis() -> None:
    # (1 + 27) / 2 = 14, cube root 2.410142.
    tokens = torch.tensor([[[1.0], [3.0]]])
    assert GeM()(tokens).item() == pytest.approx(2.410142, abs=1e-6)


def test_l2_normalize_of_a_three_four_five_triangle() -> None:
    assert L2Normalize(2)(torch.tensor([[3.0, 4.0]]))[0].tolist() == pytest.approx([0.6, 0.8], abs=1e-6)


def test_l2_normalize_keeps_zero_finite() -> None:
    assert L2Normalize(4)(torch.zeros(1, 4)).tolist() == [[0.0, 0.0, 0.0, 0.0]]
