"""What becomes of an artifact that fails: marked or left out, never silently kept, and the others go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import export.pipeline
from distill.students.checkpoint import Checkpoint, load_checkpoint
from export.bundle.parity import ArtifactRun
from export.command import run_export
from export.pipeline import export_bundles
from export.plan import Outcome
from export.targets.table import TARGETS, Exported, ExportRequest
from icd_mobile.errors import OutsideError


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


def _export(checkpoint: Checkpoint, out: Path, *jobs: tuple[str, str]) -> list[Outcome]:
    return export_bundles(checkpoint, jobs, None, out, False, lambda _name, _what: None)


def _wrong_descriptors(_target: str, _path: Path, pixels: np.ndarray) -> ArtifactRun:
    return ArtifactRun(np.eye(64, dtype=np.float32)[: len(pixels)], "measured", "run here")


def test_a_bundle_under_its_parity_bar_is_kept_and_marked(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.pipeline, "run_artifact", _wrong_descriptors)
    (outcome,) = _export(checkpoint, tmp_path, ("torchscript", "fp32"))
    assert outcome.state == "exported but failed its check"
    assert outcome.bundle_dir is not None
    manifest = json.loads((outcome.bundle_dir / "manifest.json").read_text())
    assert (manifest["state"], manifest["parity"]["passed"]) == ("exported but failed its check", False)
    assert "State: **exported but failed its check**" in (outcome.bundle_dir / "README.md").read_text()


def test_the_command_then_exits_1_and_says_by_how_much(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export.pipeline, "run_artifact", _wrong_descriptors)
    arguments = (["torchscript"], str(tiny_checkpoint), ["fp32"], None, tmp_path, False)
    assert run_export(*arguments, as_json=False) == 1
    assert "needed 0.9999" in capsys.readouterr().out


def test_the_golden_descriptors_are_the_checkpoint_s_even_if_a_converter_changes_the_student(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export.pipeline.load_exporter

    def spoil(request: ExportRequest) -> Exported:
        request.student.tail[1].weight.data.normal_()
        return real(TARGETS["torchscript"])(request)

    monkeypatch.setattr(export.pipeline, "load_exporter", lambda _target: spoil)
    (outcome,) = _export(load_checkpoint(tiny_checkpoint), tmp_path, ("torchscript", "fp32"))
    assert outcome.state == "exported but failed its check"


def test_a_converter_that_fails_is_named_with_its_reason_and_the_next_one_goes_on(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_request: object) -> None:
        raise ValueError("no such op: frobnicate\nand a long story")

    real = export.pipeline.load_exporter
    monkeypatch.setattr(
        export.pipeline, "load_exporter", lambda target: fail if "onnx" in target.export else real(target)
    )
    failed, done = _export(checkpoint, tmp_path, ("onnx", "fp32"), ("torchscript", "fp32"))
    assert failed.state == "failed"
    assert failed.reason.startswith("ValueError: no such op: frobnicate; see ")
    assert done.state == "ok"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["efficientnet_lite0-onnx-fp32.log", "efficientnet_lite0-torchscript-fp32"]


def test_a_missing_package_is_named_with_its_install_command(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_target: object) -> None:
        raise OutsideError("needs coremltools: pip install coremltools")

    monkeypatch.setattr(export.pipeline, "load_exporter", missing)
    (outcome,) = _export(checkpoint, tmp_path, ("coreml", "fp32"))
    assert (outcome.state, outcome.reason) == ("failed", "needs coremltools: pip install coremltools")
    assert list(tmp_path.iterdir()) == []
