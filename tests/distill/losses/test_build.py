"""Losses by name, their settings, and the contract that each of them keeps."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distill.losses import LOSSES, build_loss
from distill.losses.batch import Batch, Dims
from icd_mobile.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_keeps_the_contract(name: str, make_batch, random_rows) -> None:
    loss = build_loss(name, {"num_dims": 4} if name == "directclr" else {})
    parameters = inspect.signature(type(loss)).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    assert {type(parameter.default) for parameter in parameters} <= {float, int, str}
    loss.check(Dims(descriptor=3, feature=6, wide=None, teacher=3))
    assert isinstance(loss.needs_teacher, bool)
    rows = random_rows(4, 3)
    for _ in range(2):  # a bank is empty in the first step only
        batch = make_batch(
            rows,
            [0, 0, 1, 1],
            features=random_rows(4, 6, unit=False),
            teacher=random_rows(4, 3, seed=1),
            keys=random_rows(2, 3, seed=2),
            key_ids=[0, 1],
        )
        value = loss(batch)
        value.backward()
    assert value.shape == ()
    assert value.dtype == torch.float32
    reached = batch.features.grad if name == "directclr" else batch.descriptors.grad
    assert torch.count_nonzero(reached) > 0


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_value(name: str, make_batch, random_rows) -> None:
    loss = build_loss(name, {"num_dims": 4} if name == "directclr" else {})
    rows, teacher, ids = torch.tensor(random_rows(6, 5)), random_rows(6, 5, seed=2), [0, 1, 2, 0, 1, 2]
    more = {"teacher": teacher, "keys": random_rows(3, 5, seed=5), "key_ids": [0, 1, 2]}
    loss(make_batch(random_rows(6, 5, seed=3), [3, 4, 5, 3, 4, 5], **more | {"key_ids": [3, 4, 5]}))
    loss.eval()  # the bank stays
    batch = make_batch(rows.tolist(), ids, **more)
    loss(batch).backward()
    gradient = batch.features.grad if name == "directclr" else batch.descriptors.grad
    step = 1e-3 * gradient / gradient.norm()
    with torch.no_grad():
        after, before = (loss(make_batch((rows + sign * step).tolist(), ids, **more)) for sign in (1, -1))
    # Along the gradient a value rises by its length.
    assert (after - before).item() / 2e-3 == pytest.approx(gradient.norm().item(), rel=5e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_needs_a_teacher_says_so_without_one(name: str, make_batch, random_rows) -> None:
    loss = build_loss(name, {"num_dims": 4} if name == "directclr" else {})
    keys = random_rows(2, 3, seed=2)
    batch = make_batch(random_rows(4, 3), [0, 0, 1, 1], features=random_rows(4, 6), keys=keys, key_ids=[0, 1])
    if loss.needs_teacher:
        with pytest.raises(InputError, match="needs a teacher, got none"):
            loss(batch)
    else:
        assert torch.isfinite(loss(batch))


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_rows_under_autocast_are_computed_in_float32(name: str, random_rows) -> None:
    def batch_of(kind: torch.dtype) -> Batch:
        rows = [torch.tensor(random_rows(6, 8, seed=seed)).bfloat16() for seed in range(3)]
        return Batch(
            descriptors=torch.nn.functional.normalize(rows[0].float(), dim=1).bfloat16().to(kind).requires_grad_(),
            features=rows[1].to(kind).requires_grad_(),
            wide=None,
            teacher=rows[2].to(kind),
            image_ids=torch.tensor([0, 1, 2, 0, 1, 2]),
            keys=rows[0][:3].to(kind),
            key_ids=torch.arange(3),
        )

    settings = {"num_dims": 4} if name == "directclr" else {}
    half, full = build_loss(name, settings), build_loss(name, settings)
    for _ in range(2):
        batch = batch_of(torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = half(batch)
        # The same numbers given in float32: were a product inside taken in bfloat16, the losses would differ.
        assert value.item() == full(batch_of(torch.float32)).item()
    value.backward()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("kole", {}, "unknown loss 'kole'.*did you mean 'koleo'"),
        ("koleo", {"epsilom": 1.0}, "unknown setting of loss koleo 'epsilom'.*did you mean 'epsilon'"),
        ("infonce", {"temperature": "5e-2"}, "temperature must be a number, got '5e-2'.*1.0e-4"),
        ("infonce", {"temperature": True}, "temperature must be a number, got True"),
        ("directclr", {"num_dims": 36.0}, "num_dims must be a whole number, got 36.0"),
        ("regression", {"distance": 2}, "distance must be a word, got 2"),
        ("infonce", {"temperature": 0}, "must be a finite number above 0, got 0"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_loss(name, settings)
    assert "\n" not in str(caught.value)


def test_a_whole_number_is_good_for_a_float() -> None:
    assert build_loss("infonce", {"temperature": 1}).temperature == 1


def test_the_names_are_known_without_importing_torch() -> None:
    code = "import sys, distill.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_loss_is_documented_with_its_settings() -> None:
    page = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    for name in LOSSES:
        section = page.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
        for parameter in inspect.signature(type(build_loss(name, {}))).parameters.values():
            assert f"| `{parameter.name}` | {_written(parameter.default)} |" in section


def _written(default: object) -> str:
    if isinstance(default, float) and 0.0 < default < 1e-4:
        return f"{default:.1e}".replace("e-0", "e-")  # as YAML needs it
    return (
        f"{default:g}" if isinstance(default, float) else f"{default:,}" if isinstance(default, int) else str(default)
    )
