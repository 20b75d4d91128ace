"""The bank: first in, first out, over its edge, and through a state dict."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.losses.bank import Bank
from icd_mobile.errors import InputError


def column(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_before_it_is_full_only_what_was_pushed_is_there() -> None:
    bank = Bank(4)
    assert len(bank.filled()) == 0
    bank.push(column(1, 2, 3))
    assert bank.filled().flatten().tolist() == [1, 2, 3]


def test_the_newest_take_the_places_of_the_oldest() -> None:
    bank = Bank(4)  # no multiple of three
    bank.push(column(1, 2, 3))
    bank.push(column(4, 5, 6))  # 4 takes the last place, 5 and 6 those of 1 and 2
    assert bank.filled().flatten().tolist() == [5, 6, 3, 4]
    bank.push(column(7, 8, 9))  # over 3, 4 and, round the corner, 5
    assert bank.filled().flatten().tolist() == [9, 6, 7, 8]


@settings(deadline=None)
@given(size=st.integers(1, 7), pushes=st.lists(st.integers(1, 10), max_size=8))
def test_a_bank_holds_the_last_rows_pushed(size: int, pushes: list[int]) -> None:
    bank, pushed = Bank(size), []
    for number in pushes:
        rows = list(range(len(pushed), len(pushed) + number))
        pushed += rows
        bank.push(column(*rows))
    assert sorted(bank.filled().flatten().tolist()) == pushed[-size:]


def test_a_bank_holds_no_graph() -> None:
    rows = torch.ones(2, 3, requires_grad=True) * 2
    bank = Bank(4)
    bank.push(rows)
    assert not bank.rows.requires_grad


def test_a_resumed_bank_goes_on_bit_for_bit() -> None:
    whole = Bank(4)
    whole.push(column(1, 2, 3))
    resumed = Bank(4)
    resumed.load_state_dict(whole.state_dict())
    for bank in (whole, resumed):
        bank.push(column(4, 5, 6))
    assert resumed.rows.data_ptr() != whole.rows.data_ptr()
    assert {name: value.tolist() for name, value in resumed.state_dict().items()} == {
        "rows": [[5.0], [6.0], [3.0], [4.0]],
        "next_row": 2,
        "num_filled": 4,
    }
    assert torch.equal(resumed.rows, whole.rows)


def test_a_bank_keeps_the_type_it_was_given() -> None:
    whole, resumed = Bank(2), Bank(2)
    whole.push(torch.tensor([[2**53 + 1]]))
    resumed.load_state_dict(whole.state_dict())
    assert resumed.filled().tolist() == [[2**53 + 1]]


def test_the_state_of_an_empty_bank_empties() -> None:
    bank = Bank(2)
    bank.push(column(1))
    bank.load_state_dict(Bank(2).state_dict())
    assert len(bank.filled()) == 0
    bank.push(column(1))
    assert bank.filled().tolist() == [[1.0]]


def test_a_bank_of_another_size_is_refused_in_one_line() -> None:
    whole = Bank(4)
    whole.push(column(1))
    with pytest.raises(InputError, match=r"has a bank of 4 rows, this recipe one of 3"):
        Bank(3).load_state_dict(whole.state_dict())


def test_a_bank_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="1 row or more, got 0"):
        Bank(0)
