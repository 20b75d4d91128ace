"""What is benched: a bundle's model, or the PyTorch baseline, in one form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.records.record import BASELINE_TARGET, ArtifactInfo
from export.bundle.bundle import check_files, read_manifest
from export.bundle.manifest import MANIFEST_NAME, CalibrationImage, Manifest
from export.runtimes import REFERENCES, RUNTIMES, why_no_runtime
from icd_mobile.errors import InputError
from icd_mobile.evidence import Evidence
from icd_mobile.extras import install_command

EAGER_PATH, EAGER_INSTALL = Path(__file__).parent / "eager.py", install_command("torch")


@dataclass(frozen=True)
class Artifact:
    """A model file and the runtime file that opens it; without one, `not_measured` says why.

    Where `evidence` is "reference" that file is a reference evaluator, which gives descriptors and no times:
    `not_measured` then says why there are none.
    """

    info: ArtifactInfo
    model_path: Path
    runtime_path: Path | None
    install: str  # the command that brings the runtime where it is missing
    not_measured: str = ""
    evidence: Evidence = "measured"
    bundle_dir: Path | None = None  # None for what is only compared with
    teacher: str | None = None  # as the student's card names it
    calibration: tuple[CalibrationImage, ...] | None = None  # None where there was none, or the bundle does not say
    resample: Image.Resampling = Image.Resampling.BILINEAR  # the pixel contract's; only teachers have another


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """The bundles that the paths name, each a bundle or a folder of bundles.

    Raises:
        InputError: a path is missing or holds no bundle.
    """
    bundles: list[Path] = []
    for path in paths:
        # A hidden folder is an export that is still at work, or that was killed.
        inside = sorted(m.parent for m in path.glob(f"*/{MANIFEST_NAME}") if not m.parent.name.startswith("."))
        found = [path] if (path / MANIFEST_NAME).is_file() else inside
        if not found:
            raise InputError(f"no bundle in {path}; make one: python -m export --target onnx")
        bundles += [bundle for bundle in found if bundle not in bundles]
    return bundles


def bundle_artifact(bundle_dir: Path) -> Artifact:
    """The artifact of a bundle, once its files are those that were exported.

    Raises:
        InputError: not a bundle.
        GateError: a file is missing, changed, added, or leads outside the bundle.
    """
    manifest = read_manifest(bundle_dir)
    check_files(bundle_dir, manifest)
    calibration = manifest.quantization.calibration
    runtime_path, install = _runtime(manifest.target)
    reason = why_no_runtime(manifest.target)
    return Artifact(
        info=_bundle_info(manifest),
        model_path=bundle_dir / manifest.model_path,
        runtime_path=runtime_path,
        install=install,
        not_measured=reason,
        evidence="reference" if reason and runtime_path else "measured",
        bundle_dir=bundle_dir,
        teacher=manifest.student.teacher,
        calibration=calibration.images if calibration else None,
    )


def _runtime(target: str) -> tuple[Path | None, str]:
    """The runtime file or the reference evaluator's, None where there is neither, and the command that installs it."""
    root = Path(__file__).parents[2]
    if not why_no_runtime(target):
        module, package = RUNTIMES[target]
        return root / "export" / "runtimes" / f"{module}.py", f"pip install {package}"
    if target in REFERENCES:
        return root.joinpath(*REFERENCES[target].split(".")).with_suffix(".py"), EAGER_INSTALL
    return None, ""


def _bundle_info(manifest: Manifest) -> ArtifactInfo:
    return ArtifactInfo(
        name=manifest.name,
        target=manifest.target,
        precision=manifest.precision,
        state=manifest.state,
        student=manifest.student.name,
        descriptor_dim=manifest.student.descriptor_dim,
        input_size_px=manifest.pixels.size_px,
        weights_sha256=manifest.student.weights_sha256,
        model_bytes=manifest.model_bytes,
        model_sha256=_model_sha256(manifest),
        quantization=manifest.quantization.recipe,
        parity_evidence=manifest.parity.evidence,
        parity_reason=manifest.parity.reason,
        parity_cosine_min=manifest.parity.cosine_min,
        structure=manifest.structure,
    )


def _model_sha256(manifest: Manifest) -> str:
    """Of the model's one file, or over the names and hashes of all files in a model that is a folder (Core ML)."""
    hashes = {entry.path: entry.sha256 for entry in manifest.files}
    if manifest.model_path in hashes:
        return hashes[manifest.model_path]
    inside = sorted(path for path in hashes if path.startswith(manifest.model_path + "/"))
    return hashlib.sha256("".join(f"{path}\0{hashes[path]}\n" for path in inside).encode()).hexdigest()


def reference_info(
    target: str,
    student: str,
    descriptor_dim: int,
    input_size_px: int,
    *,
    weights_sha256: str,
    model_bytes: int,
    model_sha256: str,
    parity_reason: str,
    precision: str = "fp32",
) -> ArtifactInfo:
    """The facts of what artifacts are only compared with: no bundle, so nothing was quantised or checked."""
    return ArtifactInfo(
        name=f"{re.sub(r'[^A-Za-z0-9_.-]', '-', student)}-{target}-{precision}",
        target=target,
        precision=precision,
        state="ok",
        student=student,
        descriptor_dim=descriptor_dim,
        input_size_px=input_size_px,
        weights_sha256=weights_sha256,
        model_bytes=model_bytes,
        model_sha256=model_sha256,
        quantization="none",
        parity_evidence="not measured",
        parity_reason=parity_reason,
        parity_cosine_min=None,
    )


def baseline_artifact(student: str, folder: Path) -> Artifact:
    """The student itself, by name or checkpoint, written whole into `folder` as the one file that PyTorch eager opens.

    Raises:
        InputError: no such student or checkpoint, or one that cannot be read.
    """
    import torch

    from distill.students.checkpoint import open_student, save_checkpoint

    checkpoint = open_student(student)
    path = folder / "baseline.safetensors"
    save_checkpoint(path, checkpoint.model, checkpoint.card.model_copy(update={"trunk_inside": True}), torch.float32)
    card = checkpoint.card
    info = reference_info(
        BASELINE_TARGET,
        card.student,
        card.descriptor_dim,
        card.input_size_px,
        weights_sha256=checkpoint.weights_sha256,
        model_bytes=path.stat().st_size,
        model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        parity_reason="it is the checkpoint itself",
    )
    return Artifact(info, path, EAGER_PATH, EAGER_INSTALL, teacher=card.teacher)
