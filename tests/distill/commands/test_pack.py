"""`python -m distill pack`: half the bytes, the same student, a card that tells what the file holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from distill.__main__ import app
from distill.students.checkpoint import load_checkpoint, make_card, save_checkpoint
from distill.students.student import Student
from distill.students.weights import tensors_sha256


def _pack(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["distill", "pack", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        app()
    return int(stopped.value.code or 0)


def test_a_packed_student_is_half_as_large_and_describes_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    whole, packed = tmp_path / "whole.safetensors", tmp_path / "packed.safetensors"
    student = Student("resnet18", 64, 64).eval()
    card = make_card(student, trunk="random", recipe="a test", data="none", licence="MIT")
    save_checkpoint(whole, student, card)
    assert _pack(monkeypatch, "--student", whole, "--out", packed, "--licence", "CC-BY-4.0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(packed), "bytes": packed.stat().st_size}
    assert packed.stat().st_size < 0.51 * whole.stat().st_size
    loaded = load_checkpoint(packed)
    assert (loaded.card.licence, loaded.card.data, loaded.card.recipe) == ("CC-BY-4.0", "none", "a test")
    assert loaded.card.trunk_sha256 == tensors_sha256(loaded.model.trunk.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(images), student(images), rtol=0, atol=2e-3)


def test_another_suffix_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _pack(monkeypatch, "--student", "default", "--out", tmp_path / "packed.bin") == 2
    assert "safetensors" in capsys.readouterr().err


def _saved(name: str, path: Path) -> Path:
    student = Student(name, 64, 64).eval()
    save_checkpoint(path, student, make_card(student, trunk="random", recipe="a test", data="none", licence="MIT"))
    return path


def test_a_student_is_packed_for_pictures_of_another_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, packed = _saved("resnet18", tmp_path / "whole.safetensors"), tmp_path / "packed.safetensors"
    assert _pack(monkeypatch, "--student", whole, "--out", packed, "--size", 96) == 0
    loaded = load_checkpoint(packed)
    assert (loaded.card.input_size_px, loaded.model.input_size_px) == (96, 96)
    before = load_checkpoint(whole).model.state_dict()
    assert all(torch.allclose(value, before[name], atol=2e-3) for name, value in loaded.model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "size", "line"),
    [("resnet18", 90, "input size must be a multiple of 32 px"), ("vit_small", 96, "has positions of 64 px only")],
)
def test_a_side_that_the_trunk_cannot_take_is_refused(
    name: str, size: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _saved(name, tmp_path / "whole.safetensors")
    assert _pack(monkeypatch, "--student", whole, "--out", tmp_path / "packed.safetensors", "--size", size) == 2
    assert line in capsys.readouterr().err
