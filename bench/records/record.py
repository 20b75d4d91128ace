"""A record: what one run of one artifact on one device measured, as raw values in base units (ns, bytes).

Statistics are computed when a record is read; only the report rounds.
"""

from __future__ import annotations

import re
import statistics
from typing import Literal, Self

import pydantic

from bench.records.latency import Preset
from devices.base import DeviceFacts
from export.bundle.manifest import StructureCheck
from icd_mobile.evidence import Evidence
from icd_mobile.retrieval.result import Accuracy, BaselineInfo
from icd_mobile.strict import NAME_PATTERN, FileName, Strict

# 1: first; 2: stability, score normalisation, retention against a teacher, recall@10 and accuracy@1; 3: calibration
# images found in the test, and structure. Older ones are still read.
SCHEMA_VERSION = 3
BASELINE_TARGET = "pytorch"  # the student itself, in eager mode
TEACHER_TARGET = "teacher"  # the model it was distilled from, in eager mode
REFERENCE_TARGETS = (BASELINE_TARGET, TEACHER_TARGET)  # measured to compare with, never to ship
EDITS = ("JPEG 95", "JPEG 75", "shift 1 px", "bicubic", "bilinear, no antialias")  # harmless ones, of `Stability`
CANARY = "red and blue swapped"  # what must not be harmless
PASSES = ("load", "latency", "memory", "accuracy", "stability")
State = Literal["ok", "exported but failed its check", "failed"]


class ArtifactInfo(Strict):
    """What was measured: the bundle's facts, or the baseline's."""

    name: FileName
    target: str
    precision: str
    state: Literal["ok", "exported but failed its check"]
    student: str
    descriptor_dim: int
    input_size_px: int
    weights_sha256: str  # of the student, whatever the artifact made of them
    model_bytes: int
    model_sha256: str
    quantization: str
    parity_evidence: Evidence
    parity_reason: str
    parity_cosine_min: float | None
    structure: tuple[StructureCheck, ...] | None = None  # None where the bundle does not say, or it is no bundle


class RuntimeInfo(Strict):
    """The runtime as the device reported it; `accelerator` is "cpu" or the name of a GPU."""

    package: str
    version: str
    accelerator: str


class ColdStart(Strict):
    """One fresh process: importing the runtime, loading the model, and the first inference."""

    import_ns: int
    load_ns: int
    first_inference_ns: int


class Latency(Strict):
    """Durations of single inferences in the order they ran, warm-ups apart; `feed_ns` is handing pixels over."""

    evidence: Evidence = "measured"
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...] = pydantic.Field(min_length=1)
    feed_ns: tuple[int, ...] = pydantic.Field(min_length=1)


class Memory(Strict):
    """Resident size of a process of its own: after the imports, and the peak over loading and a few inferences."""

    evidence: Evidence = "measured"
    baseline_bytes: int
    peak_bytes: int
    source: str


class Stability(Strict):
    """Cosines between the descriptors of images and of harmless edits of them; a list for each edit, image by image."""

    evidence: Evidence = "measured"
    num_images: int = pydantic.Field(gt=0)
    cosines: dict[str, tuple[float, ...]]
    canary_cosines: tuple[float, ...]

    @property
    def ignores_colour(self) -> bool:
        """Whether the canary failed: in the median, swapping red and blue moves them no more than the mildest edit.

        The bar is an edit of the artifact's own, not a fixed one: students differ in how much they see of colour.
        Measured with `python -m bench run` on the sample, the default student in ONNX fp32: swap 0.829, mildest edit
        0.998.
        """
        mildest = max(statistics.median(cosines) for cosines in self.cosines.values())
        return statistics.median(self.canary_cosines) >= mildest


class Record(Strict):
    """The whole of a record file. A pass that did not run is None, and `not_measured` says why."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["icd-mobile record"] = "icd-mobile record"
    created_utc: str
    artifact: ArtifactInfo
    device: DeviceFacts
    preset: Preset
    num_threads: int
    runtime: RuntimeInfo | None = None
    load: tuple[ColdStart, ...] | None = None
    latency: Latency | None = None
    memory: Memory | None = None
    accuracy: Accuracy | None = None
    stability: Stability | None = None
    not_measured: dict[str, str]
    failure: str | None = None

    @pydantic.field_validator("device")
    @classmethod
    def _device_name_is_a_file_name(cls, device: DeviceFacts) -> DeviceFacts:
        if not re.fullmatch(NAME_PATTERN, device.name):
            raise ValueError(f"device name {device.name!r} does not match {NAME_PATTERN}")
        return device

    @pydantic.model_validator(mode="after")
    def _each_pass_is_told(self) -> Self:
        empty = {name for name in PASSES if not getattr(self, name)}
        if empty != set(self.not_measured):
            raise ValueError(f"passes without values are {sorted(empty)}, reasons are for {sorted(self.not_measured)}")
        return self

    @property
    def state(self) -> State:
        """One of the three states a table prints."""
        return "failed" if self.failure else self.artifact.state

    @property
    def retention(self) -> float | None:
        """micro-AP over the baseline's; None where either is missing or the baseline finds nothing."""
        return self._share_of(self.accuracy.baseline if self.accuracy else None)

    @property
    def teacher_retention(self) -> float | None:
        """micro-AP over the teacher's; None as in `retention`."""
        return self._share_of(self.accuracy.teacher if self.accuracy else None)

    def _share_of(self, other: BaselineInfo | None) -> float | None:
        if self.accuracy is None or other is None or other.micro_ap == 0:
            return None
        return self.accuracy.micro_ap / other.micro_ap

    @property
    def other_weights(self) -> bool:
        """Whether the baseline is another student than the one this artifact was made from."""
        baseline = self.accuracy.baseline if self.accuracy else None
        return baseline is not None and baseline.weights_sha256 != self.artifact.weights_sha256
