"""A first-in, first-out bank of rows from past steps, the same on every process and part of the state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from icd_mobile.errors import InputError


class Bank(nn.Module):
    """The last `size` rows pushed, in a ring: once it is full, the newest take the places of the oldest.

    `rows` is allocated at the first push, which brings width, type and device: a recipe need not know them.
    """

    rows: Tensor  # (size, width) once something was pushed, else (0, 0)
    next_row: Tensor  # () int64, where the next row goes
    num_filled: Tensor  # () int64

    def __init__(self, size: int) -> None:
        """An empty bank.

        Raises:
            InputError: no room for a row.
        """
        super().__init__()
        if size < 1:
            raise InputError(f"a bank has 1 row or more, got {size}; give a larger bank_size")
        self.size = size
        self.register_buffer("rows", torch.empty(0, 0))
        self.register_buffer("next_row", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_filled", torch.zeros((), dtype=torch.int64))

    def filled(self) -> Tensor:
        """(R, width) the rows held, R <= size, in the order of the ring; a view that the next push changes."""
        return self.rows[: int(self.num_filled)]

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Take in (N, width), oldest first."""
        if self.rows.numel() == 0:
            self.rows = rows.new_zeros(self.size, rows.shape[1])
        newest = rows.detach()[-self.size :]  # more rows than places: no place is written twice
        first = self.next_row + len(rows) - len(newest)
        places = torch.arange(len(newest), device=rows.device) + first.to(rows.device)
        self.rows[places % self.size] = newest
        self.next_row.copy_((self.next_row + len(rows)) % self.size)
        self.num_filled.copy_((self.num_filled + len(rows)).clamp(max=self.size))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """As `nn.Module` does, after allocating what a bank that has been pushed to needs.

        Raises:
            InputError: the stored bank has another size.
        """
        stored = state_dict.get(f"{prefix}rows")
        if stored is not None:
            if stored.numel() and len(stored) != self.size:
                raise InputError(
                    f"the run to resume has a bank of {len(stored)} rows, this recipe one of {self.size}; "
                    "resume with the recipe that it began with"
                )
            self.rows = torch.empty_like(stored, device=self.rows.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
