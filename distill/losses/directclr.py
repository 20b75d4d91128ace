"""DirectCLR: InfoNCE on the first dimensions of the trunk's feature, without a trainable projection.

Source: Jing et al., "Understanding Dimensional Collapse in Contrastive Self-supervised Learning" (arXiv 2110.09348).
The slice is of the trunk feature, before any head: after a trainable Linear, the rows that make the other dimensions
would get no gradient. It is normalised after slicing.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean, own_columns
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError


class DirectCLR(nn.Module):
    """Mean of -log(exp(s_ip / T) / sum_j exp(s_ij / T)): i a row of view a, j the rows of another view b.

    p is the one of i's image among the j. With two views it is the symmetric InfoNCE of the paper.
    A row whose image has no view b is left out.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, num_dims: int = 360, temperature: float = 0.1) -> None:
        """Numbers as the paper has them for ResNet-50: 360 of 2,048 dimensions.

        Raises:
            InputError: one of them is not above 0.
        """
        super().__init__()
        check_above("directclr: num_dims", num_dims, 0)
        check_above("directclr: temperature", temperature, 0.0)
        self.num_dims = num_dims
        self.temperature = temperature

    def check(self, dims: Dims) -> None:
        """There must be something to slice.

        Raises:
            InputError: the trunk feature has no more dimensions than are kept.
        """
        if dims.feature < self.num_dims:
            raise InputError(
                f"directclr keeps the first {self.num_dims} dimensions of the trunk feature, which has {dims.feature}; "
                "give a smaller num_dims"
            )

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        sliced = F.normalize(batch.features[:, : self.num_dims], dim=1)
        logits = sliced @ gather_rows(sliced).T / self.temperature
        all_ids = gather_rows(batch.image_ids)
        all_views = view_numbers(all_ids)
        own_views = all_views[own_columns(batch.image_ids)]
        same_image = batch.image_ids[:, None] == all_ids
        terms, counted = [], []
        for view in range(int(all_views.max()) + 1):
            in_view = all_views == view
            positive = same_image & in_view  # one at most
            total = logits.masked_fill(~in_view, -torch.inf).logsumexp(dim=1)
            terms.append(total - logits.masked_fill(~positive, 0.0).sum(dim=1))
            counted.append(positive.any(dim=1) & (own_views != view))
        return global_mean(torch.stack(terms), torch.stack(counted))


def view_numbers(image_ids: Tensor) -> Tensor:
    """(N,) ids -> (N,) how many earlier rows have the same id: the views of an image are numbered as they come."""
    ordered, order = torch.sort(image_ids, stable=True)
    positions = torch.arange(len(image_ids), device=image_ids.device)
    first_of_id = torch.searchsorted(ordered, ordered)
    return torch.empty_like(positions).index_copy_(0, order, positions - first_of_id)
