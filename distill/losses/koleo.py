"""KoLeo: push each descriptor from its nearest non-matching one, which spreads them over the sphere.

Sources: Sablayrolles et al., "Spreading vectors for similarity search", 2019; DINOv2 (weight 0.1, epsilon 1e-8); SSCD,
whose differential-entropy term is the same with the squared distance held above 1e-6 instead of an epsilon.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean
from distill.losses.pairs import match_masks
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError

# Below it two descriptors are the same: no direction to push in, so no gradient. The square root at 0 would give NaN.
SAME_SQUARED_DISTANCE = 1e-24


class KoLeo(nn.Module):
    """-mean_i log(sqrt(max(d_i^2, m)) + epsilon), d_i the distance of row i to the nearest row of another image.

    SSCD's entropy: `epsilon` 0, `min_squared_distance` m 1e-6. A row without a negative in the batch is left out.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, epsilon: float = 1e-8, min_squared_distance: float = 0.0) -> None:
        """Epsilon as DINOv2.

        Raises:
            InputError: one is negative, or both are 0: two equal descriptors would have an infinite loss.
        """
        super().__init__()
        if epsilon < 0.0 or min_squared_distance < 0.0:
            raise InputError(
                f"koleo: epsilon and min_squared_distance are 0 or more, got {epsilon!r} and {min_squared_distance!r}"
            )
        check_above("koleo: epsilon + min_squared_distance", epsilon + min_squared_distance, 0.0)
        self.epsilon = epsilon
        self.min_squared_distance = min_squared_distance

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        everyone = gather_rows(batch.descriptors)
        _, negatives = match_masks(batch.sources())
        with torch.no_grad():
            similarities = batch.descriptors @ everyone.T
            nearest = similarities.masked_fill(~negatives, -torch.inf).argmax(dim=1)
        # From the difference: 2 - 2 * cosine has no digit left where descriptors are close, which is what counts here.
        squared = (batch.descriptors - everyone[nearest]).square().sum(dim=1)
        distances = squared.clamp(min=max(self.min_squared_distance, SAME_SQUARED_DISTANCE)).sqrt()
        return global_mean(-(distances + self.epsilon).log(), negatives.any(dim=1))
