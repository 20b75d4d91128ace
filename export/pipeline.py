"""Student -> bundles: for every target and precision asked for, convert, run, compare, and write the bundle."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.students.checkpoint import Checkpoint
from export.bundle.bundle import check_can_write, list_files, staged, write_manifest
from export.bundle.golden import GOLDEN_DIR, write_golden
from export.bundle.manifest import (
    Manifest,
)
from export.bundle.model_card import CARD_NAME, model_card
from export.bundle.parity import measure_parity, run_artifact
from export.calibration.disjoint import check_disjoint
from export.describe import make_manifest, metadata
from export.plan import ExportPlan, Outcome, Progress
from export.quantization.budget import Budget, open_validation, search_plan
from export.structure import check_structure
from export.targets.table import CALIBRATED, TARGETS, ExportRequest, load_exporter
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.extras import not_installed
from icd_mobile.quiet import interruptible, output_to


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
        return _failed(target, precision, str(error), start, is_outside=True)
    except Exception as error:
        if missing := not_installed(error):
            return _failed(target, precision, str(missing), start, is_outside=True)
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


def _failed(target: str, precision: str, reason: str, start: float, is_outside: bool = False) -> Outcome:
    seconds = time.monotonic() - start
    return Outcome(target, precision, "failed", reason, None, None, None, seconds, is_outside=is_outside)


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
        metadata=metadata(plan.checkpoint, target_name, precision),
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
    manifest = make_manifest(plan, target_name, precision, name, exported, parity, folder)
    manifest = manifest.model_copy(update={"structure": check_structure(target_name, model_path)})
    (folder / CARD_NAME).write_text(model_card(manifest))
    manifest = manifest.model_copy(update={"files": list_files(folder)})
    write_manifest(folder, manifest)
    return manifest
