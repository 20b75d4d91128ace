"""A record: what one run of one artifact on one device measured, as raw values in base units (ns, bytes).

Statistics are computed when a record is read; only the report rounds.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

import pydantic

from bench.records.latency import Preset
from devices.base import DeviceFacts
from export.bundle.manifest import Evidence, StructureCheck

# 1: first; 2: stability, score normalisation, retention against a teacher, recall@10 and accuracy@1; 3: calibration
# images found in the test, and structure. Older ones are still read.
SCHEMA_VERSION = 3
BASELINE_TARGET = "pytorch"  # the student itself, in eager mode
TEACHER_TARGET = "teacher"  # the model it was distilled from, in eager mode
REFERENCE_TARGETS = (BASELINE_TARGET, TEACHER_TARGET)  # measured to compare with, never to ship
PASSES = ("load", "latency", "memory", "accuracy", "stability")
State = Literal["ok", "exported but failed its check", "failed"]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
FileName = Annotated[str, pydantic.StringConstraints(pattern=NAME_PATTERN)]  # becomes part of a path
Sha256 = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class ArtifactInfo(_Strict):
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


class RuntimeInfo(_Strict):
    """The runtime as the device reported it; `accelerator` is "cpu" or the name of a GPU."""

    package: str
    version: str
    accelerator: str


class ColdStart(_Strict):
    """One fresh process: importing the runtime, loading the model, and the first inference."""

    import_ns: int
    load_ns: int
    first_inference_ns: int


class Latency(_Strict):
    """Durations of single inferences in the order they ran, warm-ups apart; `feed_ns` is handing pixels over."""

    evidence: Evidence = "measured"
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...] = pydantic.Field(min_length=1)
    feed_ns: tuple[int, ...] = pydantic.Field(min_length=1)


class Memory(_Strict):
    """Resident size of a process of its own: after the imports, and the peak over loading and a few inferences."""

    evidence: Evidence = "measured"
    baseline_bytes: int
    peak_bytes: int
    source: str


class BaselineInfo(_Strict):
    """What retention is relative to: the PyTorch student, or the teacher."""

    name: str
    weights_sha256: str
    micro_ap: float
    normalized_micro_ap: float | None = None


class NormalizedAccuracy(_Strict):
    """Retrieval where each score fell by `beta` times the mean of its query's largest cosines to a training set.

    What counts within one query, recall@k and accuracy@1, is as without.
    """

    beta: float
    ranks: Literal["[0,2]"] = "[0,2]"  # of those cosines: the three largest
    num_training: int
    micro_ap: float
    micro_ap_low: float
    micro_ap_high: float
    recall_at_p90: float
    threshold_at_p90: float | None


class CopydaysAccuracy(_Strict):
    """What Copydays is reported by, besides: see `icd_mobile.datasets.copydays`.

    `mean_ap` is by block; one that was not judged is absent.
    """

    k: int  # candidates kept per query for these figures
    mean_ap: dict[str, float]
    micro_ap_copies: float
    micro_ap_with_originals: float  # each original is a query too, and finds itself
    micro_ap_sscd: float  # the same by the trapezoid rule, as SSCD's evaluator takes it


class CalibrationOverlap(_Strict):
    """An image that the artifact was calibrated on, and the query or reference that is the same photograph."""

    image: str
    other: str
    how: str  # same bytes, or looks the same


class Accuracy(_Strict):
    """Retrieval with this artifact's descriptors, and everything the figure means nothing without.

    A part that is None has its reason in `not_measured`.
    """

    evidence: Evidence = "measured"
    dataset: str
    dataset_sha256: Sha256
    num_references: int
    num_queries: int
    num_positives: int
    num_skipped: int  # images that could not be read
    k: int  # candidates kept per query
    codec: Literal["Flat"] = "Flat"
    score_normalization: Literal["none"] = "none"
    micro_ap: float
    micro_ap_low: float  # bootstrap over queries, 95 %
    micro_ap_high: float
    recall_at_p90: float
    threshold_at_p90: float | None  # None: precision 0.9 was never reached
    recall_at_1: float
    recall_at_10: float | None = None  # None in a record of schema 1
    accuracy_at_1: float | None = None
    normalized: NormalizedAccuracy | None = None
    baseline: BaselineInfo | None
    teacher: BaselineInfo | None = None
    copydays: CopydaysAccuracy | None = None
    calibration_overlap: tuple[CalibrationOverlap, ...] = ()  # where there is one, the figures flatter the artifact
    not_measured: dict[str, str] = {}


class Stability(_Strict):
    """Cosines between the descriptors of images and of harmless edits of them; a list for each edit, image by image."""

    evidence: Evidence = "measured"
    num_images: int = pydantic.Field(gt=0)
    cosines: dict[str, tuple[float, ...]]
    canary_cosines: tuple[float, ...]  # red and blue swapped: what must not be harmless


class Record(_Strict):
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
