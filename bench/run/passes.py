"""All passes of one artifact on one device, put together as a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact
from bench.descriptors.fill import EmbedPlan, fill, store_of
from bench.descriptors.store import DescriptorStore
from bench.records.latency import Preset
from bench.records.record import PASSES, Record, RuntimeInfo
from bench.run.calibration_overlap import with_overlap
from bench.run.stability import stability_of
from devices.base import Device, DeviceError
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import PixelSource, dataset_source
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.retrieval.accuracy import Compared, judge
from icd_mobile.retrieval.result import CalibrationOverlap

NUM_COLD_STARTS = 3
PREPROCESSING = "preprocessing"  # not a pass: what comes before embedding where pixels are not there yet
OnProgress = Callable[[str, int, int], None]  # name of the pass, number of its steps done, number of all


@dataclass(frozen=True)
class Plan:
    """How an artifact is measured. `edited` are the images of the stability pass, or why there are none."""

    preset: Preset
    dataset: Dataset
    edited: PixelSource | str
    embedding: EmbedPlan
    compared: Compared
    calibration_overlap: tuple[CalibrationOverlap, ...] = ()

    @property
    def num_threads(self) -> int:
        """Threads of the runtime."""
        return self.embedding.num_threads


@dataclass
class _Findings:
    """What the passes have found so far, and why the rest is missing."""

    sections: dict[str, Any] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)
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
    missing = {name: findings.reason for name in PASSES if name not in findings.sections}
    return Record(
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        artifact=artifact.info,
        device=device.facts(),
        preset=plan.preset,
        num_threads=plan.num_threads,
        runtime=findings.runtime,
        not_measured=missing | findings.not_measured,
        failure=findings.failure,
        **findings.sections,
    )


def _run_passes(device: Device, artifact: Artifact, plan: Plan, findings: _Findings, on_progress: OnProgress) -> None:
    """Fill `findings` pass by pass; an error leaves those before it in place."""
    remote.push_artifact(device, artifact)
    starts = []
    for index in range(NUM_COLD_STARTS):
        on_progress("load", index, NUM_COLD_STARTS)
        start, runtime = remote.cold_start(device, artifact, plan.num_threads)
        starts.append(start)
    findings.runtime = runtime
    if artifact.evidence == "measured":  # what a reference evaluator costs says nothing of the artifact
        findings.sections["load"] = tuple(starts)
        on_progress("latency", 0, 1)
        findings.sections["latency"] = remote.latency(device, artifact, plan.num_threads, plan.preset)
        on_progress("memory", 0, 1)
        findings.sections["memory"] = remote.memory(device, artifact, plan.num_threads)

    def embedded(source: PixelSource, pass_name: str) -> DescriptorStore:
        store = store_of(plan.embedding.stores_dir, device.facts().name, artifact.info, runtime, source)
        on_progress(pass_name, 0, source.num_images)
        progress = partial(on_progress, PREPROCESSING), partial(on_progress, pass_name)
        fill(store, device, artifact, source, plan.embedding, *progress)
        return store

    store = embedded(dataset_source(plan.dataset, artifact.resample), "accuracy")
    unreadable = tuple(skipped.row for skipped in store.skipped())
    accuracy = judge(store.descriptors(), plan.dataset, unreadable, plan.compared)
    accuracy = with_overlap(accuracy, artifact, plan.calibration_overlap)
    findings.sections["accuracy"] = accuracy.model_copy(update={"evidence": artifact.evidence})
    if isinstance(plan.edited, str):
        findings.not_measured["stability"] = plan.edited
    else:
        stability = stability_of(embedded(plan.edited, "stability").descriptors())
        findings.sections["stability"] = stability.model_copy(update={"evidence": artifact.evidence})
