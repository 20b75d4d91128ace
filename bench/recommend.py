"""Which artifact to ship on a device: the fastest that detects what the baseline detects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.latency import percentile, validity_flags
from bench.records import REFERENCE_TARGETS, Accuracy, Latency, Record
from bench.stability import ignores_colour

MAX_MICRO_AP_LOSS = 0.005


@dataclass(frozen=True)
class Recommendation:
    """The chosen record, or None, and a sentence that says why."""

    record: Record | None
    sentence: str


def recommend(records: Sequence[Record]) -> Recommendation:
    """Choose among the records of one device.

    Only artifacts that passed their check and see colour are taken, and only those made from the baseline's own
    weights. The fastest is so by its median, which a few far samples do not move; where its timing is flagged, the
    sentence says so.
    """
    compared = [
        (record, record.accuracy, record.latency, record.accuracy.baseline.micro_ap)
        for record in records
        if record.accuracy and record.accuracy.baseline and record.latency
        if record.state == "ok" and not record.other_weights and record.artifact.target not in REFERENCE_TARGETS
        if not (record.stability and ignores_colour(record.stability))
    ]
    if not compared:
        return Recommendation(
            None, "None: no artifact in order was measured together with a baseline of its own student."
        )
    good = [
        (record, accuracy, latency, bar)
        for record, accuracy, latency, bar in compared
        if accuracy.micro_ap >= bar - MAX_MICRO_AP_LOSS
    ]
    if not good:
        record, accuracy, _, bar = min(compared, key=lambda item: item[3] - item[1].micro_ap)
        return Recommendation(
            None,
            f"None: no artifact's micro-AP is within {MAX_MICRO_AP_LOSS} of the baseline's {bar:.3f}; "
            f"the nearest is {_label(record)} with {accuracy.micro_ap:.3f}.",
        )
    record, accuracy, latency, bar = min(good, key=lambda item: percentile(item[2].samples_ns, 50))
    flagged = " (timing flagged: see the notes)" if validity_flags(latency.samples_ns, record.preset) else ""
    return Recommendation(record, f"{_label(record)}: {_why(accuracy, latency, bar, record.num_threads)}{flagged}.")


def _label(record: Record) -> str:
    return f"{record.artifact.target} {record.artifact.precision}"


def _why(accuracy: Accuracy, latency: Latency, bar: float, num_threads: int) -> str:
    return (
        f"the fastest artifact whose micro-AP is within {MAX_MICRO_AP_LOSS} of the baseline "
        f"({accuracy.micro_ap:.3f} against {bar:.3f}), p50 {percentile(latency.samples_ns, 50) / 1e6:.1f} ms "
        f"on {num_threads} thread{'s' if num_threads > 1 else ''}"
    )
