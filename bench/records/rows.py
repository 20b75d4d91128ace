"""Records as rows: statistics computed here, when records are read, and the forms in which people read a figure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.records.latency import percentile, validity_flags
from bench.records.record import BASELINE_TARGET, PASSES, TEACHER_TARGET, Record
from bench.records.setting import Setting
from export.mil import BLIND_TO
from icd_mobile.datasets.copydays import STRONG
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.retrieval.result import Accuracy

NUM_OVERLAPS_NAMED = 3  # in a note; the record has all of them
BLIND = (
    "THE CANARY FAILED: swapping red and blue moves its descriptors no more than the mildest harmless edit. It ignores "
    "colour, or its input is read wrongly, and nothing here could tell RGB from BGR; do not ship it before you know why"
)


@dataclass(frozen=True)
class Row:
    """One artifact's figures, unrounded; None is "not measured"."""

    name: str
    target: str
    precision: str
    state: str
    num_threads: int
    model_bytes: int
    load_ms: float | None  # median over fresh processes
    first_inference_ms: float | None  # median over fresh processes
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    feed_ms: float | None
    peak_memory_bytes: int | None
    delta_memory_bytes: int | None
    micro_ap: float | None
    micro_ap_low: float | None
    micro_ap_high: float | None
    retention: float | None
    recall_at_p90: float | None
    threshold_at_p90: float | None
    recall_at_1: float | None
    recall_at_10: float | None
    accuracy_at_1: float | None
    teacher_retention: float | None
    normalized_micro_ap: float | None
    normalized_micro_ap_low: float | None
    normalized_micro_ap_high: float | None
    normalized_recall_at_p90: float | None
    normalized_threshold_at_p90: float | None
    least_stable_cosine_p50: float | None  # of the harmless edits, the one that moves descriptors most
    canary_cosine_p50: float | None
    parity_cosine_min: float | None
    parity_evidence: str
    accuracy_evidence: str | None
    notes: tuple[str, ...]
    repeat: int = 1  # 2 for the second row of the same target and precision, and so on

    @property
    def is_baseline(self) -> bool:
        """Whether this is the PyTorch student that the others are compared with."""
        return self.target == BASELINE_TARGET

    @property
    def is_teacher(self) -> bool:
        """Whether this is the teacher that the others are compared with."""
        return self.target == TEACHER_TARGET

    @property
    def label(self) -> str:
        """Target and precision, and which of the rows that share them."""
        return f"{self.target} {self.marked_precision}"

    @property
    def judged_label(self) -> str:
        """`label`, and the evidence of what was made of its descriptors where they were not measured."""
        return with_evidence(self.label, self.accuracy_evidence)

    @property
    def marked_precision(self) -> str:
        """The precision, numbered from the second row of its target on."""
        return self.precision if self.repeat == 1 else f"{self.precision} ({self.repeat})"


def make_row(record: Record) -> Row:
    """The row of one record."""
    latency, memory, accuracy, stability = record.latency, record.memory, record.accuracy, record.stability
    normalized = accuracy.normalized if accuracy else None
    starts = record.load or ()
    return Row(
        name=record.artifact.name,
        target=record.artifact.target,
        precision=record.artifact.precision,
        state=record.state,
        num_threads=record.num_threads,
        model_bytes=record.artifact.model_bytes,
        load_ms=_median_ms(start.load_ns for start in starts),
        first_inference_ms=_median_ms(start.first_inference_ns for start in starts),
        p50_ms=percentile(latency.samples_ns, 50) / 1e6 if latency else None,
        p90_ms=percentile(latency.samples_ns, 90) / 1e6 if latency else None,
        p99_ms=percentile(latency.samples_ns, 99) / 1e6 if latency else None,
        feed_ms=_median_ms(latency.feed_ns) if latency else None,
        peak_memory_bytes=memory.peak_bytes if memory else None,
        delta_memory_bytes=memory.peak_bytes - memory.baseline_bytes if memory else None,
        micro_ap=accuracy.micro_ap if accuracy else None,
        micro_ap_low=accuracy.micro_ap_low if accuracy else None,
        micro_ap_high=accuracy.micro_ap_high if accuracy else None,
        retention=record.retention,
        recall_at_p90=accuracy.recall_at_p90 if accuracy else None,
        threshold_at_p90=accuracy.threshold_at_p90 if accuracy else None,
        recall_at_1=accuracy.recall_at_1 if accuracy else None,
        recall_at_10=accuracy.recall_at_10 if accuracy else None,
        accuracy_at_1=accuracy.accuracy_at_1 if accuracy else None,
        teacher_retention=record.teacher_retention,
        normalized_micro_ap=normalized.micro_ap if normalized else None,
        normalized_micro_ap_low=normalized.micro_ap_low if normalized else None,
        normalized_micro_ap_high=normalized.micro_ap_high if normalized else None,
        normalized_recall_at_p90=normalized.recall_at_p90 if normalized else None,
        normalized_threshold_at_p90=normalized.threshold_at_p90 if normalized else None,
        least_stable_cosine_p50=min(map(statistics.median, stability.cosines.values())) if stability else None,
        canary_cosine_p50=statistics.median(stability.canary_cosines) if stability else None,
        parity_cosine_min=record.artifact.parity_cosine_min,
        parity_evidence=record.artifact.parity_evidence,
        accuracy_evidence=accuracy.evidence if accuracy else None,
        notes=_notes(record),
    )


def make_rows(records: Sequence[Record], setting: Setting) -> list[Row]:
    """The rows of one report; what differs from its setting, and rows of one target and precision, are told apart."""
    kinds = [(record.artifact.target, record.artifact.precision) for record in records]
    rows = []
    for index, (record, kind) in enumerate(zip(records, kinds, strict=True)):
        row, notes = make_row(record), setting.differences(record)
        if kinds.count(kind) > 1:
            notes += (_origin(record),)
        rows.append(replace(row, notes=row.notes + notes, repeat=1 + kinds[:index].count(kind)))
    return rows


def _origin(record: Record) -> str:
    threads = "1 thread" if record.num_threads == 1 else f"{record.num_threads} threads"
    artifact = record.artifact
    return f"is {artifact.name} of {artifact.student} ({artifact.model_sha256[:8]}), {threads}, {record.created_utc}"


def _median_ms(values_ns: Iterable[int]) -> float | None:
    values = list(values_ns)
    return statistics.median(values) / 1e6 if values else None


def _notes(record: Record) -> tuple[str, ...]:
    """What a reader must know beside the figures."""
    notes = [record.failure] if record.failure else []
    reasons = dict.fromkeys(record.not_measured[name] for name in PASSES if name in record.not_measured)
    if not record.failure:
        notes += reasons
    if record.accuracy and record.accuracy.evidence == "reference":
        notes.append(f"its descriptors are of a reference evaluator, blind to {BLIND_TO}")
    if record.latency:
        notes += validity_flags(record.latency.samples_ns, record.preset)
    if record.runtime and record.runtime.accelerator != "cpu":
        notes.append(f"runs on {record.runtime.accelerator}")
    if record.other_weights:
        notes.append("made from another student than the baseline: retention compares different weights")
    if record.stability and record.stability.ignores_colour:
        notes.append(BLIND)
    if record.accuracy and record.accuracy.calibration_overlap:
        notes.append(describe_overlap(record.accuracy))
    if record.accuracy and record.accuracy.num_skipped:
        notes.append(f"{record.accuracy.num_skipped} images of the dataset could not be read")
    if record.accuracy and record.accuracy.copydays and STRONG in record.accuracy.copydays.mean_ap:
        notes.append(f"Copydays: mAP of {STRONG} {record.accuracy.copydays.mean_ap[STRONG]:.3f}")
    return tuple(notes)


def describe_overlap(accuracy: Accuracy) -> str:
    """What is wrong with the figures of an artifact whose calibration images are judged as well."""
    found = accuracy.calibration_overlap
    named = ", ".join(f"{one.image} = {one.other} ({one.how})" for one in found[:NUM_OVERLAPS_NAMED])
    more = f" and {len(found) - NUM_OVERLAPS_NAMED} more" if len(found) > NUM_OVERLAPS_NAMED else ""
    return f"CALIBRATED ON IMAGES OF THIS TEST, which flatters it: {named}{more}; calibrate on others and export again"


def number(value: float | None, spec: str) -> str:
    """A figure as people read it."""
    return NOT_MEASURED if value is None else format(value, spec)


def with_evidence(text: str, evidence: str | None) -> str:
    """A text, and the evidence of its figure where that was not measured."""
    return text if evidence in (None, "measured") else f"{text} ({evidence})"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval as people read it; "" where there is none."""
    return "" if low is None or high is None else f"{low:.2f}-{high:.2f}"
