"""Student -> bundles: for every target and precision asked for, convert, run, compare, and write the bundle."""

from __future__ import annotations

import errno
import importlib.metadata
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from distill.students.checkpoint import Checkpoint
from export.bundle.bundle import check_can_write, list_files, staged, write_manifest
from export.bundle.golden import GOLDEN_DIR, Golden, make_golden, write_golden
from export.bundle.manifest import (
    Accuracy,
    CalibrationInfo,
    Manifest,
    Parity,
    PixelContract,
    Quantization,
    QuantizationSearch,
    StructureCheck,
    StudentInfo,
)
from export.bundle.model_card import CARD_NAME, model_card
from export.bundle.parity import measure_parity, run_artifact
from export.bundle.pixels import PixelStudent
from export.calibration.calibration_set import CalibrationSet, calibration_set
from export.calibration.disjoint import check_disjoint
from export.quantization.budget import Budget, open_validation, search_plan
from export.quantization.plan import UNSEARCHED
from export.structure import check_structure
from export.targets.table import CALIBRATED, TARGETS, Exported, ExportRequest, load_exporter
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.pictures.preprocessing import RESIZE_FILTER
from icd_mobile.quiet import interruptible, output_to

if TYPE_CHECKING:
    from torch.fx import GraphModule

State = Literal["ok", "exported but failed its check", "failed"]
Progress = Callable[[str, str], None]  # (bundle name, what is being done)


@dataclass(frozen=True)
class Outcome:
    """What became of one (target, precision); `search` where a budget of micro-AP was kept or missed."""

    target: str
    precision: str
    state: State
    reason: str
    bundle_dir: Path | None
    model_bytes: int | None
    parity: Parity | None
    seconds: float
    structure: tuple[StructureCheck, ...] = ()
    search: QuantizationSearch | None = None


class ExportPlan:
    """What the artifacts of one run share; each part is made once, when first needed."""

    def __init__(self, checkpoint: Checkpoint, calibration_dir: Path | None, progress: Progress) -> None:
        self.checkpoint = checkpoint
        self.student = PixelStudent(checkpoint)
        self.progress = progress
        self.disjoint_from: tuple[str, ...] = ()  # the benchmarks that calibration was found to share no image with
        self.quantization = UNSEARCHED
        self.search: QuantizationSearch | None = None
        self._calibration_dir = calibration_dir

    @cached_property
    def golden(self) -> Golden:
        return make_golden(self.student, self.checkpoint.card.input_size_px)

    @cached_property
    def calibration(self) -> CalibrationSet:
        return calibration_set(self._calibration_dir, self.checkpoint.card.input_size_px)

    @cached_property
    def quantized_trunk(self) -> GraphModule:
        from export.quantization.graph import quantize_trunk

        def on_view(done: int, num_views: int) -> None:
            self.progress("", f"observing calibration view {done} of {num_views}")

        return quantize_trunk(self.student, self.calibration, self.quantization, on_view)


def bundle_name(student: str, target: str, precision: str) -> str:
    return f"{student}-{target}-{precision}"


def export_bundles(
    checkpoint: Checkpoint,
    jobs: Sequence[tuple[str, str]],
    calibration_dir: Path | None,
    out: Path,
    overwrite: bool,
    progress: Progress,
    disjoint_from: Sequence[Path] = (),
    budget: Budget | None = None,
) -> list[Outcome]:
    """Export each (target, precision) into `out`; one that fails does not stop the others.

    With a budget, int8 is searched for first, and what is found is what every target takes.

    Raises:
        InputError: an output folder that exists or cannot be written, calibration images that cannot be read, or that
            one of `disjoint_from`, folders of benchmarks, has as well, or a validation benchmark that cannot be read:
            said before any work is done.
    """
    names = {job: bundle_name(checkpoint.card.student, *job) for job in jobs}
    for name in names.values():
        check_can_write(out / name, overwrite)
    plan = ExportPlan(checkpoint, calibration_dir, progress)
    if any(precision in CALIBRATED for _, precision in jobs):
        skipped = plan.calibration.skipped
        if skipped:
            images = "image" if len(skipped) == 1 else "images"
            progress("", f"calibration: {len(skipped)} unreadable {images} skipped: {', '.join(skipped)}")

        def on_image(benchmark: str, done: int, total: int) -> None:
            progress("", f"comparing the calibration with {benchmark}: image {done} of {total}")

        plan.disjoint_from = check_disjoint(plan.calibration.images, disjoint_from, out, on_image)
    if budget is not None:
        _search(plan, budget, out)
    return [_export_one(plan, target, precision, out / name) for (target, precision), name in names.items()]


def _search(plan: ExportPlan, budget: Budget, out: Path) -> None:
    """Find the plan that keeps the budget; the findings stay beside the bundles."""
    dataset = open_validation(budget, plan.calibration, out, plan.progress)
    state_path = out / f"{plan.checkpoint.card.student}.int8-search.json"
    log_path = state_path.with_suffix(".log")
    try:
        with output_to(log_path), interruptible():  # torchao prints
            found = search_plan(
                plan.checkpoint, plan.student, plan.calibration, budget, dataset, state_path, plan.progress
            )
    finally:
        log_path.unlink(missing_ok=True)
    plan.quantization, plan.search = found.plan, found.record


def _export_one(plan: ExportPlan, target: str, precision: str, bundle_dir: Path) -> Outcome:
    start = time.monotonic()
    log_path = bundle_dir.with_name(f"{bundle_dir.name}.log")
    log_path.unlink(missing_ok=True)
    keep_log = False
    try:
        with output_to(log_path), staged(bundle_dir) as folder:
            manifest = _fill_bundle(plan, target, precision, bundle_dir.name, folder)
    except OutsideError as error:
        return _failed(target, precision, str(error), start)
    except Exception as error:
        if f"[Errno {errno.ENOSPC}]" in str(error):  # shutil wraps it in an error of its own
            raise InputError(f"no space left for {bundle_dir}; free some, or choose another --out") from error
        keep_log = True
        with log_path.open("a") as log:
            traceback.print_exception(error, file=log)
        first_line = (str(error).strip().splitlines() or [""])[0]
        return _failed(target, precision, f"{type(error).__name__}: {first_line[:160]}; see {log_path}", start)
    finally:
        if not keep_log:
            log_path.unlink(missing_ok=True)
    return Outcome(
        target,
        precision,
        manifest.state,
        manifest.parity.reason,
        bundle_dir,
        manifest.model_bytes,
        manifest.parity,
        time.monotonic() - start,
        manifest.structure or (),
        manifest.quantization.search,
    )


def _failed(target: str, precision: str, reason: str, start: float) -> Outcome:
    return Outcome(target, precision, "failed", reason, None, None, None, time.monotonic() - start)


def _fill_bundle(plan: ExportPlan, target_name: str, precision: str, name: str, folder: Path) -> Manifest:
    target = TARGETS[target_name]
    model_path = folder / target.model_name
    card = plan.checkpoint.card
    golden = plan.golden  # what the checkpoint gives, before a converter has had the student in its hands
    request = ExportRequest(
        student=plan.student,
        card=card,
        precision=precision,
        plan=plan.quantization,
        quantized_trunk=lambda: plan.quantized_trunk,
        metadata=_metadata(plan.checkpoint, target_name, precision),
        model_path=model_path,
        calibration_views=lambda: plan.calibration.views,
    )
    plan.progress(name, "converting")
    with interruptible():
        exported = load_exporter(target)(request)
    plan.progress(name, "running the golden images")
    try:
        run, reason = run_artifact(target_name, model_path, golden.pixels), ""
    except OutsideError as error:
        run, reason = None, str(error)
    parity = measure_parity(golden.expected, run, precision, reason)
    finite = run is not None and np.isfinite(run.descriptors).all()
    descriptors = run.descriptors if run and finite else None  # JSON has no NaN
    write_golden(golden, folder / GOLDEN_DIR, descriptors, parity.evidence)
    plan.progress(name, "writing the bundle")
    manifest = _manifest(plan, target_name, precision, name, exported, parity, folder)
    manifest = manifest.model_copy(update={"structure": check_structure(target_name, model_path)})
    (folder / CARD_NAME).write_text(model_card(manifest))
    manifest = manifest.model_copy(update={"files": list_files(folder)})
    write_manifest(folder, manifest)
    return manifest


def _metadata(checkpoint: Checkpoint, target: str, precision: str) -> dict[str, str]:
    """What every format carries in its own metadata place; flat strings, because some formats take no more."""
    card = checkpoint.card
    return {
        "icd_mobile.student": card.student,
        "icd_mobile.weights_sha256": checkpoint.weights_sha256,
        "icd_mobile.target": target,
        "icd_mobile.precision": precision,
        "icd_mobile.descriptor_dim": str(card.descriptor_dim),
        "icd_mobile.pixels": f"RGB 0..255, {card.input_size_px}x{card.input_size_px}, resize {RESIZE_FILTER}",
        "icd_mobile.teacher": card.teacher or "none",
        "icd_mobile.recipe": card.recipe,
        "icd_mobile.licence": card.licence,
    }


def _manifest(
    plan: ExportPlan,
    target: str,
    precision: str,
    name: str,
    exported: Exported,
    parity: Parity,
    folder: Path,
) -> Manifest:
    card = plan.checkpoint.card
    calibration = None
    search = plan.search if precision == "int8" else None
    if precision in CALIBRATED:
        used = plan.calibration
        calibration = CalibrationInfo(
            source=used.source,
            num_images=used.num_images,
            num_views=len(used.views),
            sha256=used.sha256,
            skipped=used.skipped,
            images=used.images,
            disjoint_from=plan.disjoint_from,
        )
    model_name = TARGETS[target].model_name
    model_path = folder / model_name  # a file, or Core ML's folder
    model_files = [path for path in (model_path, *model_path.rglob("*")) if path.is_file()]
    return Manifest(
        name=name,
        state="exported but failed its check" if parity.passed is False or (search and not search.fits) else "ok",
        target=target,
        precision=precision,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        model_path=model_name,
        model_bytes=sum(path.stat().st_size for path in model_files),
        inputs=exported.inputs,
        outputs=exported.outputs,
        pixels=PixelContract(size_px=card.input_size_px, resize=RESIZE_FILTER),
        student=StudentInfo(
            name=card.student,
            descriptor_dim=card.descriptor_dim,
            weights_sha256=plan.checkpoint.weights_sha256,
            mean=card.mean,
            std=card.std,
            pooling=card.pooling,
            teacher=card.teacher,
            trunk=card.trunk,
            recipe=card.recipe,
            data=card.data,
        ),
        quantization=Quantization(
            recipe=exported.recipe, float_parts=exported.float_parts, calibration=calibration, search=search
        ),
        parity=parity,
        accuracy=Accuracy(evidence="not measured"),
        tools={package: _version(package) for package in ("icd-mobile", *TARGETS[target].packages)},
        licence=card.licence,
        files=(),
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a variant under another name, such as onnxruntime-gpu
        return "not measured"
