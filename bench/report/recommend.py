"""Which artifact to ship on a device: the fastest that detects what the baseline detects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.latency import percentile, validity_flags
from bench.records.record import REFERENCE_TARGETS, Latency, Record
from icd_mobile.retrieval.result import Accuracy

MAX_MICRO_AP_LOSS = 0.005


@dataclass(frozen=True)
class Recommendation:
    """The chosen record, or None, and a sentence that says why."""

    record: Record | None
    sentence: str


@dataclass(frozen=True)
class Compared:
    """A record that can be chosen: in order, judged beside a baseline of its own weights, and timed."""

    record: Record
    accuracy: Accuracy
    latency: Latency
    bar: float  # the baseline's micro-AP

    @property
    def p50_ms(self) -> float:
        """Its median, which a few far samples do not move."""
        return percentile(self.latency.samples_ns, 50) / 1e6

    @property
    def loss(self) -> float:
        """How far its micro-AP lies below the baseline's."""
        return self.bar - self.accuracy.micro_ap

    @property
    def is_good(self) -> bool:
        """Whether its micro-AP is within the margin of the baseline's."""
        return self.accuracy.micro_ap >= self.bar - MAX_MICRO_AP_LOSS

    @property
    def flags(self) -> str:
        """What a reader must know of its figures, in brackets; "" where nothing is."""
        flags = ["timing flagged"] if validity_flags(self.latency.samples_ns, self.record.preset) else []
        flags += ["calibrated on images of this test"] if self.accuracy.calibration_overlap else []
        return f" ({' and '.join(flags)}: see the notes)" if flags else ""


def comparable(records: Sequence[Record]) -> list[Compared]:
    """Those that can be chosen among: artifacts that passed their check and see colour."""
    return [
        Compared(record, record.accuracy, record.latency, record.accuracy.baseline.micro_ap)
        for record in records
        if record.accuracy and record.accuracy.baseline and record.latency
        if record.state == "ok" and not record.other_weights and record.artifact.target not in REFERENCE_TARGETS
        if not (record.stability and record.stability.ignores_colour)
    ]


def recommend(records: Sequence[Record]) -> Recommendation:
    """Choose among the records of one device.

    The fastest is so by its median; where its timing is flagged, the sentence says so.
    """
    compared = comparable(records)
    if not compared:
        return Recommendation(
            None, "None: no artifact in order was measured together with a baseline of its own student."
        )
    good = [one for one in compared if one.is_good]
    if not good:
        nearest = min(compared, key=lambda one: one.loss)
        return Recommendation(
            None,
            f"None: no artifact's micro-AP is within {MAX_MICRO_AP_LOSS} of the baseline's {nearest.bar:.3f}; "
            f"the nearest is {_label(nearest.record)} with {nearest.accuracy.micro_ap:.3f}.",
        )
    chosen = min(good, key=lambda one: one.p50_ms)
    return Recommendation(chosen.record, f"{_label(chosen.record)}: {_why(chosen)}{chosen.flags}.")


def _label(record: Record) -> str:
    return f"{record.artifact.target} {record.artifact.precision}"


def _why(chosen: Compared) -> str:
    threads = chosen.record.num_threads
    return (
        f"the fastest artifact whose micro-AP is within {MAX_MICRO_AP_LOSS} of the baseline "
        f"({chosen.accuracy.micro_ap:.3f} against {chosen.bar:.3f}), p50 {chosen.p50_ms:.1f} ms "
        f"on {threads} thread{'s' if threads > 1 else ''}"
    )
