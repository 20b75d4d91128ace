"""Students, converted and read back: the evaluator against PyTorch. Lite0 always, all six with `make test-all`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import coremltools as ct  # torch and timm are loaded already, by conftest.py
import numpy as np
import pytest
import torch
from torch.fx import GraphModule, Interpreter, Node

from distill.students.checkpoint import Checkpoint, load_checkpoint, open_student
from distill.students.student import STUDENTS
from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import calibration_set
from export.mil import evaluate
from export.mil.package import read_package
from export.mil.session import load
from export.quantization.graph import quantize_trunk
from export.quantization.plan import QuantizationPlan
from export.targets.table import TARGETS, ExportRequest, load_exporter


def convert(checkpoint: Checkpoint, student: PixelStudent, precision: str, folder: Path, quantized=None) -> Path:
    """The package of one precision."""
    path = folder / f"{precision}.mlpackage"
    no_views = partial(pytest.fail, "calibration views are not needed")
    request = ExportRequest(
        student,
        checkpoint.card,
        precision,
        QuantizationPlan(),
        lambda: quantized,
        {},
        path,
        no_views,
    )
    load_exporter(TARGETS["coreml"])(request)
    return path


def images(size_px: int) -> np.ndarray:
    """(4, S, S, 3): views of photographs, evenly over the set."""
    return calibration_set(None, size_px).views[::16]


def by_pytorch(student: PixelStudent, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([student(to_batch(image)).numpy() for image in pixels])


def by_evaluator(path: Path, pixels: np.ndarray) -> np.ndarray:
    num_threads = torch.get_num_threads()
    session, descriptors = load(path, num_threads), []
    for image in pixels:
        session.feed(image)
        session.invoke()
        descriptors.append(session.read())
    return np.stack(descriptors)


def cosine_min(left: np.ndarray, right: np.ndarray) -> float:
    return float((left * right).sum(axis=1).min())


def assert_fp32_is_exact(checkpoint: Checkpoint, folder: Path) -> None:
    """The bar of the evaluator: cosine >= 0.99999, and no number off by more than 1e-4."""
    student, pixels = PixelStudent(checkpoint), images(checkpoint.card.input_size_px)
    expected = by_pytorch(student, pixels)
    found = by_evaluator(convert(checkpoint, student, "fp32", folder), pixels)
    assert cosine_min(found, expected) >= 0.99999
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


def test_lite0_in_fp32_is_pytorch(tiny: Checkpoint, tmp_path: Path) -> None:
    assert_fp32_is_exact(tiny, tmp_path)


def test_lite0_in_fp16_is_near_pytorch_and_not_the_same(tiny: Checkpoint, tmp_path: Path) -> None:
    """Values are rounded to 11 bits after each operation, so the descriptor moves, by less than the fp16 bar allows."""
    student, pixels = PixelStudent(tiny), images(64)
    path = convert(tiny, student, "fp16", tmp_path)
    kinds = [named.type.dtype for one in read_package(path).program.operations for named in one.outputs]
    assert kinds.count("float16") > 100
    found, expected = by_evaluator(path, pixels), by_pytorch(student, pixels)
    assert cosine_min(found, expected) > 0.999
    assert np.abs(found - expected).max() > 1e-5


@pytest.fixture(scope="module")
def quantized(tiny: Checkpoint) -> GraphModule:
    few = calibration_set(None, 64)
    return quantize_trunk(PixelStudent(tiny), replace(few, views=few.views[::8]), QuantizationPlan())


class _Recorded(Interpreter):
    """A quantised graph, and every tensor of integers that it makes, in order."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.integers: list[torch.Tensor] = []

    def run_node(self, n: Node) -> object:
        result = super().run_node(n)
        if n.target == torch.ops.quantized_decomposed.quantize_per_tensor.default:
            self.integers.append(result.clone())
        return result


def differences(
    path: Path, student: PixelStudent, quantized: GraphModule, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[torch.Tensor], np.ndarray]:
    """Each `quantize` of the package against PT2E's, given PT2E's integers so far; and the descriptor that comes of it.

    Layer by layer, because one integer that rounds the other way moves many after it.
    """
    recorded = _Recorded(quantized)
    with torch.inference_mode():
        recorded.run(student.normalize(to_batch(image)))
    expected, found, run = iter(recorded.integers), [], evaluate._run

    def compared(step, values):
        result = run(step, values)
        if step.operation.kind != "quantize":
            return result
        ((name, integers),) = result.items()
        offset = 128 if integers.dtype == torch.uint8 else 0  # coremltools moves a zero point of -128 to 0
        wanted = next(expected)
        found.append(integers.int() - offset - wanted.int())
        return {name: (wanted.int() + offset).to(integers.dtype)}

    monkeypatch.setattr(evaluate, "_run", compared)
    descriptor = by_evaluator(path, image[None])
    assert next(expected, None) is None
    return found, descriptor


def test_lite0_in_int8_gives_the_integers_of_the_quantised_graph(
    tiny: Checkpoint, quantized: GraphModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With float32 between the integers every layer is exact; pixels at half a step may round either way."""
    student, image = PixelStudent(tiny), images(64)[0]
    whole = student.with_trunk(quantized)
    expected = by_pytorch(whole, image[None])
    program = torch.export.export(whole, (torch.zeros(1, 3, 64, 64),)).run_decompositions({})
    model = ct.convert(
        program,
        inputs=[ct.ImageType(name="pixels", shape=(1, 3, 64, 64), color_layout=ct.colorlayout.RGB)],
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS17,
        skip_model_load=True,
    )
    path = tmp_path / "model.mlpackage"
    model.save(str(path))
    found, descriptor = differences(path, student, quantized, image, monkeypatch)
    assert len(found) == 63
    assert found[0].abs().max() <= 1
    assert (found[0] != 0).float().mean() < 0.01
    assert not any(layer.any() for layer in found[1:])
    np.testing.assert_allclose(descriptor, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_lite0_as_exported_in_int8_is_at_most_one_step_from_the_quantised_graph(
    tiny: Checkpoint, quantized: GraphModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float16 scales and sums move what lies near half a step, layer by layer, and nothing else."""
    student = PixelStudent(tiny)
    path = convert(tiny, student, "int8", tmp_path, quantized)
    found, _ = differences(path, student, quantized, images(64)[0], monkeypatch)
    assert max(int(layer.abs().max()) for layer in found) <= 1
    assert max(float((layer != 0).float().mean()) for layer in found[1:]) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_in_fp32_is_pytorch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert_fp32_is_exact(open_student(name), tmp_path)
