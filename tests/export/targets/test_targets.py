"""What every target must do: the contract that a new target inherits by being in the table.

The default student in every precision and one other in fp32 by default; the complete matrix is slow.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from distill.students.checkpoint import Checkpoint, open_student
from distill.students.student import STUDENTS
from export.bundle.manifest import Manifest
from export.bundle.parity import COSINE_MIN_BARS
from export.bundle.verify import verify_bundle
from export.pipeline import export_bundles
from export.plan import Outcome
from export.runtimes import why_no_runtime
from export.structure import CHECKERS
from export.targets.table import CALIBRATED, TARGETS


def export_one(checkpoint: Checkpoint, target: str, precision: str, out: Path) -> Outcome:
    (outcome,) = export_bundles(checkpoint, [(target, precision)], None, out, False, lambda _name, _what: None)
    return outcome


def assert_contract(outcome: Outcome, checkpoint: Checkpoint) -> None:
    """A bundle that is whole, true about itself, and gives the checkpoint's descriptors."""
    assert outcome.state == "ok", outcome.reason
    assert outcome.bundle_dir is not None
    manifest = Manifest.model_validate_json((outcome.bundle_dir / "manifest.json").read_text())
    card = checkpoint.card
    assert (manifest.target, manifest.precision) == (outcome.target, outcome.precision)
    assert manifest.student.weights_sha256 == checkpoint.weights_sha256
    (pixels,), (descriptor,) = manifest.inputs, manifest.outputs
    assert (pixels.name, descriptor.name) == ("pixels", "descriptor")
    assert sorted(pixels.shape) == sorted((1, 3, card.input_size_px, card.input_size_px))
    assert descriptor.shape == (1, card.descriptor_dim)
    assert (manifest.quantization.calibration is not None) == (outcome.precision in CALIBRATED)
    assert read_metadata(outcome.target, outcome.bundle_dir / manifest.model_path) == {
        "icd_mobile.student": card.student,
        "icd_mobile.weights_sha256": checkpoint.weights_sha256,
        "icd_mobile.precision": outcome.precision,
    }
    assert manifest.structure is not None
    assert bool(manifest.structure) == (outcome.target in CHECKERS)
    for check in manifest.structure:
        assert check.num_ops, check.line()  # a backend takes none of some graphs, but each was read
    parity = manifest.parity
    assert parity.evidence == ("reference" if why_no_runtime(outcome.target) else "measured")
    assert parity.cosine_min is not None
    assert parity.cosine_min >= COSINE_MIN_BARS[outcome.precision]
    verified = verify_bundle(outcome.bundle_dir)
    assert (verified.evidence, verified.how) == (parity.evidence, parity.reason)
    assert verified.cosine_min == pytest.approx(1.0, abs=1e-4)
    assert_tells_nothing_of_this_machine(outcome.bundle_dir)


def assert_tells_nothing_of_this_machine(bundle_dir: Path) -> None:
    places = [str(Path(__file__).parents[3]).encode(), str(bundle_dir.parent).encode(), b"site-packages"]
    for name, content in _contents(bundle_dir):
        assert not any(place in content for place in places), name


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what is inside those that are zip archives."""
    for path in folder.rglob("*"):
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{path.name}/{name}", archive.read(name)) for name in archive.namelist())
        elif path.is_file():
            yield path.name, path.read_bytes()


def read_metadata(target: str, model_path: Path) -> dict[str, str]:
    """Three of the metadata entries, read from the artifact with its own format's tools."""
    found = _READERS[target](model_path)
    return {key: found[key] for key in ("icd_mobile.student", "icd_mobile.weights_sha256", "icd_mobile.precision")}


def _torchscript(path: Path) -> dict[str, str]:
    import torch

    files = {"icd_mobile.json": ""}
    torch.jit.load(str(path), _extra_files=files)
    return json.loads(files["icd_mobile.json"])


def _onnx(path: Path) -> dict[str, str]:
    import onnxruntime

    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def _coreml(path: Path) -> dict[str, str]:
    import coremltools

    return dict(coremltools.utils.load_spec(str(path)).description.metadata.userDefined)


def _tflite(path: Path) -> dict[str, str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    entries = {model.Metadata(index).Name(): model.Metadata(index).Buffer() for index in range(model.MetadataLength())}
    return json.loads(model.Buffers(entries[b"icd_mobile"]).DataAsNumpy().tobytes())


def _executorch(path: Path) -> dict[str, str]:
    from executorch.runtime import Runtime

    (content,) = Runtime.get().load_program(path).load_method("icd_mobile").execute([])
    return json.loads(content)


_READERS = {
    "torchscript": _torchscript,
    "onnx": _onnx,
    "coreml": _coreml,
    "tflite": _tflite,
    "executorch": _executorch,
}


OTHERS = sorted(STUDENTS.keys() - {"resnet18", "efficientnet_lite0"})


@pytest.mark.parametrize(
    ("target", "precision"), [(name, precision) for name, target in TARGETS.items() for precision in target.precisions]
)
def test_the_default_student_meets_the_contract(target: str, precision: str, tmp_path: Path) -> None:
    checkpoint = open_student("default")
    assert_contract(export_one(checkpoint, target, precision, tmp_path), checkpoint)


@pytest.mark.parametrize("target", TARGETS)
def test_another_student_meets_the_contract(target: str, tmp_path: Path) -> None:
    checkpoint = open_student("resnet18")
    assert_contract(export_one(checkpoint, target, "fp32", tmp_path), checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("student", ["resnet18", *OTHERS])
def test_every_student_meets_the_contract(student: str, target: str, precision: str, tmp_path: Path) -> None:
    checkpoint = open_student(student)
    assert_contract(export_one(checkpoint, target, precision, tmp_path), checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("student", ["resnet18", *OTHERS])
def test_every_student_has_a_static_int8_form(student: str, target: str, tmp_path: Path) -> None:
    """At random weights int8 may well fail its parity bar; that it converts and runs is what is asked here."""
    outcome = export_one(open_student(student), target, "int8", tmp_path)
    assert outcome.state != "failed", outcome.reason
    assert outcome.parity is not None
    assert outcome.parity.cosine_min is not None
