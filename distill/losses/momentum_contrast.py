"""Momentum contrast: find a photograph's key among those of thousands, as the slow mean of the student describes them.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", 2020 (MoCo); RDCD has it too.
Keys are made by the running mean of the weights (`ema_decay`), from the first view of each photograph: with
`data.original_view` the photograph itself, so that the keys are an index, and every view is a query to it. Keys that
move slowly are comparable over many steps; past descriptors of the student itself are not, at a fine-tuning's learning
rates (docs/losses.md).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from distill.losses.bank import Bank
from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows
from distill.losses.pairs import contrast, shares_image
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError


class MomentumContrast(nn.Module):
    """mean_i mean_p -log(e^(s_i.k_p / T) / (e^(s_i.k_p / T) + sum_n e^(s_i.k_n / T))).

    k_p are the keys of row i's photograph in this step; k_n those of other photographs, of this step and of the bank.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, *, temperature: float = 0.07, bank_size: int = 65_536) -> None:
        """Numbers as MoCo and RDCD.

        Raises:
            InputError: the temperature is not above 0, or no bank.
        """
        super().__init__()
        check_above("momentum_contrast: temperature", temperature, 0.0)
        self.temperature = temperature
        self.bank = Bank(bank_size)
        self.bank_ids = Bank(bank_size)

    def check(self, dims: Dims) -> None:
        """Any dimensions will do."""

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        if batch.keys is None or batch.key_ids is None:
            raise InputError("momentum_contrast needs a mean of the weights, got none; set ema_decay")
        keys, ids = gather_rows(batch.keys), gather_rows(batch.key_ids)[:, None]
        held, held_ids = keys, ids
        if self.bank.rows.numel():
            held, held_ids = torch.cat([keys, self.bank.filled()]), torch.cat([ids, self.bank_ids.filled()])
        same_image = shares_image(batch.sources(), held_ids)
        logits = batch.descriptors @ held.T / self.temperature
        loss = contrast(logits, same_image[:, : len(keys)], ~same_image)
        if self.training:
            self.bank.push(keys)
            self.bank_ids.push(ids)
        return loss
