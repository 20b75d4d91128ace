"""`--max-drop`: what reaches the exporters and the manifest, and what is refused in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import export.pipeline
from distill.students.checkpoint import Checkpoint, load_checkpoint
from export.bundle.manifest import Manifest, QuantizationSearch, ValidationInfo
from export.bundle.model_card import model_card
from export.calibration.calibration_set import CalibrationSet
from export.calibration.images import read_image
from export.command import run_export
from export.pipeline import export_bundles
from export.plan import ExportPlan, Outcome
from export.quantization.budget import Budget, Searched, describe, open_validation
from export.quantization.plan import QuantizationPlan
from export.quantization.search import Drops, Tried
from export.targets.table import Exported, ExportRequest, descriptor_output, pixel_input
from icd_mobile.errors import InputError, OutsideError

PLAN = QuantizationPlan("mse", bias_corrected=True, float_ops=("conv2d",))


def record(*, fits: bool) -> QuantizationSearch:
    drop = 0.004 if fits else 0.0123
    return QuantizationSearch(
        evidence="reference",
        estimator=PLAN.estimator,
        equalised=PLAN.equalised,
        bias_corrected=PLAN.bias_corrected,
        float_ops=PLAN.float_ops,
        num_ops=58,
        int8_mac_share=0.97,
        max_drop=0.005,
        max_cross_drop=0.01,
        micro_ap_fp32=0.6,
        micro_ap=0.6 - drop,
        micro_ap_cross=0.58,
        drop=drop,
        cross_drop=0.02,
        fits=fits,
        tried=(),
        validation=ValidationInfo(name="mine", sha256="d" * 64, num_queries=4, num_references=6, num_pairs=3),
        seconds=12.5,
    )


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Exports that search, convert and run nothing; `[fits]` says how the search ends."""
    fits = [True]

    def convert(request: ExportRequest) -> Exported:
        assert request.plan == PLAN
        if request.model_path.suffix == ".pt":
            request.quantized_trunk()
        request.model_path.write_bytes(b"model")
        size_px, dim = request.card.input_size_px, request.card.descriptor_dim
        return Exported(request.plan.recipe, "", (pixel_input(size_px, "NCHW"),), (descriptor_output(dim),))

    def run(*_: object) -> None:
        raise OutsideError("not run by this test")

    monkeypatch.setattr(export.pipeline, "open_validation", lambda *_: None)
    monkeypatch.setattr(export.pipeline, "search_plan", lambda *_: Searched(PLAN, record(fits=fits[0])))
    monkeypatch.setattr(export.pipeline, "load_exporter", lambda _target: convert)
    monkeypatch.setattr(export.pipeline, "run_artifact", run)
    monkeypatch.setattr(export.pipeline, "check_structure", lambda *_: ())
    monkeypatch.setattr(ExportPlan, "quantized_trunk", property(lambda _self: None))
    return fits


def _export(checkpoint: Checkpoint, out: Path, target: str, told: list[str]) -> Outcome:
    (outcome,) = export_bundles(
        checkpoint, [(target, "int8")], None, out, False, lambda _name, what: told.append(what), budget=Budget(0.005)
    )
    return outcome


def _manifest(outcome: Outcome) -> Manifest:
    assert outcome.bundle_dir is not None
    return Manifest.model_validate_json((outcome.bundle_dir / "manifest.json").read_text())


@pytest.mark.usefixtures("searched")
def test_the_plan_found_is_what_exporters_get_and_the_manifest_says_how_it_was_found(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    outcome = _export(load_checkpoint(tiny_checkpoint), tmp_path, "torchscript", [])
    manifest = _manifest(outcome)
    assert outcome.state == manifest.state == "ok"
    assert manifest.quantization.search == record(fits=True)
    assert manifest.quantization.recipe == PLAN.recipe
    assert "| micro-AP budget | drop 0.0040 of 0.005 allowed" in model_card(manifest)


@pytest.mark.usefixtures("searched")
def test_onnx_takes_the_plan_that_was_found_as_every_target_does(tiny_checkpoint: Path, tmp_path: Path) -> None:
    manifest = _manifest(_export(load_checkpoint(tiny_checkpoint), tmp_path, "onnx", []))
    assert manifest.quantization.search is not None
    assert manifest.quantization.recipe == PLAN.recipe


def test_a_budget_that_cannot_be_met_keeps_the_best_marks_it_and_exits_1(
    tiny_checkpoint: Path, tmp_path: Path, searched: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    searched[0] = False
    arguments = (["torchscript"], str(tiny_checkpoint), ["int8"], None, tmp_path, False, False)
    assert run_export(*arguments, budget=Budget(0.005)) == 1
    printed = capsys.readouterr().out
    assert "exported but failed its check: micro-AP drop 0.0123 (budget 0.005), 0.0200 with fp32 references" in printed
    manifest = json.loads((tmp_path / "efficientnet_lite0-torchscript-int8" / "manifest.json").read_text())
    assert manifest["state"] == "exported but failed its check"


def test_a_validation_benchmark_that_has_a_calibration_image_is_refused_and_the_image_named(
    benchmark_dir: Path, tmp_path: Path
) -> None:
    content = (benchmark_dir / "queries" / "q1.png").read_bytes()
    calibration = CalibrationSet("", np.empty(0), (read_image("mine.png", content).info,), "c" * 64, ())
    with pytest.raises(
        InputError, match=r"calibration and tiny-benchmark overlap, 1 image is in both: mine\.png = queries/q1\.png"
    ):
        open_validation(Budget(0.005, str(benchmark_dir)), calibration, tmp_path, lambda _name, _what: None)


@pytest.mark.parametrize("value", [math.nan, -0.001, math.inf, 1.0])
def test_a_budget_is_a_part_of_micro_ap(value: float) -> None:
    with pytest.raises(InputError, match="--max-drop needs"):
        Budget(value)


@pytest.mark.parametrize("value", [0, 0.005, np.nextafter(1, 0)])
def test_no_loss_at_all_is_a_budget_too(value: float) -> None:
    assert Budget(value).max_drop == value


def test_a_line_of_progress_says_the_plan_its_error_and_its_drops() -> None:
    assert describe(Tried(QuantizationPlan("mse", equalised=True), 0.0125, None)) == (
        "mse, equalised: mean 1 - cosine 0.01250"
    )
    assert describe(Tried(PLAN, 0.01, Drops(0.004, -0.001))) == (
        "mse, biases corrected, 1 op in float: mean 1 - cosine 0.01000, "
        "micro-AP drop +0.0040, cross -0.0010 (reference)"
    )
