"""Parity: the artifact, run by its own runtime, against the checkpoint it came from, on the golden images."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.bundle.manifest import Parity
from export.bundle.session import open_reference, open_session
from export.mil import BLIND_TO
from export.runtimes import REFERENCES, Session
from icd_mobile.arrays import Descriptors
from icd_mobile.errors import InputError
from icd_mobile.evidence import Evidence
from icd_mobile.pictures.preprocessing import Pixels

# Least cosine on any golden image. int8 is judged by micro-AP (bench); its bar only catches a broken graph.
COSINE_MIN_BARS = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9, "w8a16": 0.9}
# The same artifact on another machine: the same graph, other kernels.
RERUN_COSINE_MIN_BARS = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.98, "w8a16": 0.98}


@dataclass(frozen=True)
class ArtifactRun:
    """`descriptors` (N, D), `evidence` by whether the runtime or a reference gave them, and how, for people."""

    descriptors: Descriptors
    evidence: Evidence
    how: str


def run_artifact(target: str, model_path: Path, pixels: Pixels) -> ArtifactRun:
    """Run an artifact on (N, S, S, 3) uint8 pixels, one at a time, on one thread.

    Where its runtime cannot be on this computer, a reference evaluator computes it. Where both are, the runtime's
    descriptors count and `how` says how far the reference's are from them.

    Raises:
        OutsideError: the target's runtime is not here, nor a reference.
    """
    with _torch_settings_kept():
        session, evidence = open_session(target, model_path, 1)
        measured = _descriptors(session, pixels)
        if evidence == "reference":
            return ArtifactRun(measured, evidence, f"by the reference evaluator, blind to {BLIND_TO}")
        how = f"run here, {platform.machine()}"
        if target in REFERENCES:
            how += f"; {_difference(target, model_path, pixels, measured)}"
        return ArtifactRun(measured, evidence, how)


def _difference(target: str, model_path: Path, pixels: Pixels, measured: Descriptors) -> str:
    """How far the reference evaluator's descriptors are from the runtime's; it never fails what the runtime runs."""
    try:
        reference = _descriptors(open_reference(target, model_path, 1), pixels)
    except InputError as error:
        return str(error)
    largest = np.abs(measured - reference).max()
    cosine_min = cosines(measured, reference).min()
    return f"the reference evaluator's least cosine to it is {cosine_min:.6f}, the largest difference {largest:.2g}"


def _descriptors(session: Session, pixels: Pixels) -> Descriptors:
    descriptors = []
    for image in pixels:
        session.feed(image)
        session.invoke()
        descriptors.append(session.read())
    return np.stack(descriptors)


@contextmanager
def _torch_settings_kept() -> Iterator[None]:
    """A runtime file sets PyTorch's threads and int8 engine for its process; here that process goes on exporting."""
    torch = sys.modules.get("torch")
    if torch is None:  # none of the runtimes that set it
        yield
        return
    num_threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
        torch.backends.quantized.engine = engine


def cosines(left: Descriptors, right: Descriptors) -> Descriptors:
    """Row by row, (N, D) and (N, D) -> (N,)."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    similarities: Descriptors = (left * right).sum(axis=1) / np.maximum(norms, 1e-12)
    return similarities


def measure_parity(expected: Descriptors, run: ArtifactRun | None, precision: str, reason: str = "") -> Parity:
    """Compare, or say `reason` why `run` is None. A descriptor with a NaN never passes."""
    bar = COSINE_MIN_BARS[precision]
    if run is None:
        return Parity(
            evidence="not measured",
            reason=reason,
            cosine_min=None,
            cosine_mean=None,
            max_abs_difference=None,
            bar_cosine_min=bar,
            passed=None,
        )
    artifact, reason = run.descriptors, run.how
    if not np.isfinite(artifact).all():
        artifact = np.zeros_like(artifact)
        reason = f"{reason}; it gave descriptors that are not finite"
    similarities = cosines(expected, artifact)
    return Parity(
        evidence=run.evidence,
        reason=reason,
        cosine_min=float(similarities.min()),
        cosine_mean=float(similarities.mean()),
        max_abs_difference=float(np.abs(expected - artifact).max()),
        bar_cosine_min=bar,
        passed=bool(similarities.min() >= bar),
    )
