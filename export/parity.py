"""Parity: the artifact, run by its own runtime, against the checkpoint it came from, on the golden images."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from distill.errors import OutsideError
from distill.preprocessing import Pixels
from export.golden import Descriptors
from export.manifest import Parity
from export.runtimes import RUNTIMES, why_no_runtime

# Least cosine on any golden image. int8 is judged by micro-AP (bench); its bar only catches a broken graph.
COSINE_MIN_BARS = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9}
# The same artifact on another machine: the same graph, other kernels.
RERUN_COSINE_MIN_BARS = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.98}


def run_artifact(target: str, model_path: Path, pixels: Pixels) -> Descriptors:
    """Run an artifact on (N, S, S, 3) uint8 pixels, one at a time, on one thread: (N, D).

    Raises:
        OutsideError: the target's runtime does not run here.
    """
    if target not in RUNTIMES:
        raise OutsideError(why_no_runtime(target))
    module_name, package = RUNTIMES[target]
    try:
        runtime = importlib.import_module(f"export.runtimes.{module_name}")
    except ImportError as error:
        raise OutsideError(f"{package} is not installed: pip install {package}") from error
    with _torch_settings_kept():
        session = runtime.load(model_path, 1)
        descriptors = []
        for image in pixels:
            session.feed(image)
            session.invoke()
            descriptors.append(session.read())
    return np.stack(descriptors)


@contextmanager
def _torch_settings_kept() -> Iterator[None]:
    """A runtime file sets PyTorch's threads and int8 engine for its process; here that process goes on exporting."""
    import torch

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


def measure_parity(expected: Descriptors, artifact: Descriptors | None, precision: str, reason: str) -> Parity:
    """Compare, or say `reason` why `artifact` is None. A descriptor with a NaN never passes."""
    bar = COSINE_MIN_BARS[precision]
    if artifact is None:
        return Parity(
            evidence="not measured",
            reason=reason,
            cosine_min=None,
            cosine_mean=None,
            max_abs_difference=None,
            bar_cosine_min=bar,
            passed=None,
        )
    if not np.isfinite(artifact).all():
        artifact = np.zeros_like(artifact)
        reason = f"{reason}; it gave descriptors that are not finite"
    similarities = cosines(expected, artifact)
    return Parity(
        evidence="measured",
        reason=reason,
        cosine_min=float(similarities.min()),
        cosine_mean=float(similarities.mean()),
        max_abs_difference=float(np.abs(expected - artifact).max()),
        bar_cosine_min=bar,
        passed=bool(similarities.min() >= bar),
    )
