"""All passes of one artifact on one device, put together as a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench import remote
from bench.accuracy import judge
from bench.artifacts import Artifact
from bench.datasets import Dataset, PixelFile
from bench.latency import Preset
from bench.records import PASSES, BaselineInfo, Record, RuntimeInfo
from devices.base import Device, DeviceError
from distill.errors import InputError, OutsideError

NUM_COLD_STARTS = 3
OnProgress = Callable[[str, int, int], None]  # name of the pass, number of its steps done, number of all


@dataclass(frozen=True)
class Plan:
    """How an artifact is measured; `pixels` is the dataset at its input size."""

    preset: Preset
    num_threads: int
    dataset: Dataset
    pixels: PixelFile
    baseline: BaselineInfo | None


@dataclass
class _Findings:
    """What the passes have found so far, and why the rest is missing."""

    sections: dict[str, Any] = field(default_factory=dict)
    runtime: RuntimeInfo | None = None
    failure: str | None = None
    reason: str = ""


def measure(device: Device, artifact: Artifact, plan: Plan, on_progress: OnProgress) -> Record:
    """Run every pass. What fails is written down in the record, so that it never stops the artifacts after this one.

    `on_progress` hears of each pass as it begins and as it goes on.
    """
    findings = _Findings(reason=artifact.not_measured)
    if artifact.runtime_path is not None:
        try:
            _run_passes(device, artifact, plan, findings, on_progress)
        except OutsideError as error:
            findings.reason = str(error)
        except (InputError, DeviceError) as error:
            findings.failure = str(error)
            findings.reason = f"the run failed: {error}"
    return Record(
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        artifact=artifact.info,
        device=device.facts(),
        preset=plan.preset,
        num_threads=plan.num_threads,
        runtime=findings.runtime,
        not_measured={name: findings.reason for name in PASSES if name not in findings.sections},
        failure=findings.failure,
        **findings.sections,
    )


def _run_passes(device: Device, artifact: Artifact, plan: Plan, findings: _Findings, on_progress: OnProgress) -> None:
    """Fill `findings` pass by pass; an error leaves those before it in place."""
    remote.push_artifact(device, artifact)
    starts = []
    for index in range(NUM_COLD_STARTS):
        on_progress("load", index, NUM_COLD_STARTS)
        start, findings.runtime = remote.cold_start(device, artifact, plan.num_threads)
        starts.append(start)
    findings.sections["load"] = tuple(starts)
    on_progress("latency", 0, 1)
    findings.sections["latency"] = remote.latency(device, artifact, plan.num_threads, plan.preset)
    on_progress("memory", 0, 1)
    findings.sections["memory"] = remote.memory(device, artifact, plan.num_threads)

    def on_image(done: int, total: int) -> None:
        on_progress("accuracy", done, total)

    on_image(0, len(plan.dataset.images))
    descriptors = remote.embed(device, artifact, plan.num_threads, plan.pixels.path, on_image)
    findings.sections["accuracy"] = judge(descriptors, plan.dataset, plan.pixels.unreadable, plan.baseline)
