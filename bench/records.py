"""A record: what one run of one artifact on one device measured, as raw values in base units (ns, bytes).

Statistics are computed when a record is read; only the report rounds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from bench.files import write_whole
from bench.latency import Preset
from devices.base import DeviceFacts
from distill.errors import InputError
from export.manifest import Evidence

SCHEMA_VERSION = 1  # 1: first
RECORD_SUFFIX = ".record.json"
BASELINE_TARGET = "pytorch"  # the student itself, in eager mode
PASSES = ("load", "latency", "memory", "accuracy")
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
    """The baseline that retention is relative to."""

    name: str
    weights_sha256: str
    micro_ap: float


class CopydaysAccuracy(_Strict):
    """What Copydays is reported by, besides: see `bench.copydays`. `mean_ap` is by block; one not judged is absent."""

    k: int  # candidates kept per query for these figures
    mean_ap: dict[str, float]
    micro_ap_copies: float
    micro_ap_with_originals: float  # each original is a query too, and finds itself
    micro_ap_sscd: float  # the same by the trapezoid rule, as SSCD's evaluator takes it


class Accuracy(_Strict):
    """Retrieval with this artifact's descriptors, and everything the figure means nothing without."""

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
    baseline: BaselineInfo | None
    copydays: CopydaysAccuracy | None = None


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
        if self.accuracy is None or self.accuracy.baseline is None or self.accuracy.baseline.micro_ap == 0:
            return None
        return self.accuracy.micro_ap / self.accuracy.baseline.micro_ap

    @property
    def other_weights(self) -> bool:
        """Whether the baseline is another student than the one this artifact was made from."""
        baseline = self.accuracy.baseline if self.accuracy else None
        return baseline is not None and baseline.weights_sha256 != self.artifact.weights_sha256


def record_name(record: Record) -> str:
    """File name of a record: artifact, device and time."""
    stamp = record.created_utc.replace(":", "").replace("-", "")
    return f"{record.artifact.name}--{record.device.name}--{stamp}{RECORD_SUFFIX}"


def write_record(record: Record, folder: Path) -> Path:
    """Write whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written.
    """
    path = folder / record_name(record)
    try:
        write_whole(path, record.model_dump_json())
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another --out") from error
    return path


def read_record(path: Path) -> Record:
    """A record from its file.

    Raises:
        InputError: missing, truncated, foreign, with unknown keys, or of a newer schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({error}); check the path") from error
    try:
        return Record.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise InputError(f"{path} {_why_refused(text, error)}") from error


def _why_refused(text: str, error: pydantic.ValidationError) -> str:
    version = re.search(r'"schema_version":\s*(\d+)', text)
    if version and int(version[1]) > SCHEMA_VERSION:
        return f"has schema {version[1]}, this version reads up to {SCHEMA_VERSION}; update icd-mobile"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"is not a whole record ({where}: {first['msg']}); delete it and run `python -m bench run` again"


def read_records(folder: Path) -> list[Record]:
    """The newest record of each (device, artifact, dataset, thread count) in a folder, sorted by these.

    A device counts with all its facts and an artifact with its model's hash: two computers are both called "host".

    Raises:
        InputError: no record there, or one that cannot be read.
    """
    newest: dict[tuple[str, ...], Record] = {}
    for path in sorted(folder.glob(f"*{RECORD_SUFFIX}")):
        record = read_record(path)
        key = _identity(record)
        if key not in newest or newest[key].created_utc <= record.created_utc:
            newest[key] = record
    if not newest:
        raise InputError(f"no record in {folder}; make some: python -m bench run")
    found = [newest[key] for key in sorted(newest)]
    return [record for record in found if not _is_outdated(record, found)]


def _identity(record: Record) -> tuple[str, ...]:
    """What a later record must share with this one to take its place."""
    return (
        record.device.name,
        record.artifact.name,
        f"{record.num_threads:03d}",
        record.artifact.model_sha256,
        repr(record.device),
        record.accuracy.dataset_sha256 if record.accuracy else "",
    )


def _is_outdated(record: Record, others: list[Record]) -> bool:
    """Whether a run that came to no micro-AP, and so names no dataset, was followed by a later one."""
    return record.accuracy is None and any(
        other.created_utc > record.created_utc and _identity(other)[:-1] == _identity(record)[:-1] for other in others
    )
