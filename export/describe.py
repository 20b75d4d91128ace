"""What an export says of an artifact: the metadata inside it, and the manifest beside it."""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path

from distill.students.checkpoint import Checkpoint
from export.bundle.manifest import (
    Accuracy,
    CalibrationInfo,
    Manifest,
    Parity,
    PixelContract,
    Quantization,
    StudentInfo,
)
from export.plan import ExportPlan
from export.targets.table import CALIBRATED, TARGETS, Exported
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.pictures.preprocessing import RESIZE_FILTER


def metadata(checkpoint: Checkpoint, target: str, precision: str) -> dict[str, str]:
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


def make_manifest(
    plan: ExportPlan,
    target: str,
    precision: str,
    name: str,
    exported: Exported,
    parity: Parity,
    folder: Path,
) -> Manifest:
    """Everything but the files, which are listed when all of them are there."""
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
        accuracy=Accuracy(evidence=NOT_MEASURED),
        tools={package: _version(package) for package in ("icd-mobile", *TARGETS[target].packages)},
        licence=card.licence,
        files=(),
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a variant under another name, such as onnxruntime-gpu
        return NOT_MEASURED
