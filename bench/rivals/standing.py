"""The outcome of a head to head: raw values, and the statistics of its rows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.records.latency import percentile
from bench.rivals.contender import Absent, Contender, Kind
from icd_mobile.arrays import Floats
from icd_mobile.evidence import NOT_MEASURED, Evidence
from icd_mobile.retrieval.micro_ap import Detection

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Times:
    """Of each round, by the clock and by the processor; empty where there are none."""

    wall_ns: tuple[int, ...] = ()
    processor_ns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A contender's detection, micro-AP (B,) over queries drawn with replacement, and its times."""

    contender: Contender
    detection: Detection
    resampled: Floats
    times: Times


@dataclass(frozen=True)
class Standing:
    """A row, unrounded; None is "not measured". The intervals are 95 %, over queries drawn with replacement."""

    name: str
    kind: Kind
    target: str
    precision: str
    size_px: int | None
    evidence: Evidence
    micro_ap: float | None = None
    micro_ap_low: float | None = None
    micro_ap_high: float | None = None
    recall_at_p90: float | None = None
    behind_best: tuple[float, float, float] | None = None  # the best small one's micro-AP minus its own, the interval
    p50_ms: float | None = None
    processor_p50_ms: float | None = None  # without the time in which others ran
    of_first: float | None = None  # its time over the first one's, median over the rounds
    descriptor_bytes: int | None = None
    model_bytes: int = 0
    timed: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """Name, and the side of its pictures."""
        return self.name if self.size_px is None else f"{self.name} @{self.size_px}"

    @property
    def is_baseline(self) -> bool:
        """Whether the picture has a line at its height."""
        return self.kind == "teacher"


def standings(judged: Sequence[Judged], absent: Sequence[Absent]) -> tuple[Standing, ...]:
    """The rows, the best micro-AP first, then who is absent."""
    best = best_small(judged)
    first = next((one for one in judged if one.times.wall_ns), None)
    rows = [_standing(one, best, first) for one in judged]
    rows.sort(key=lambda row: -(row.micro_ap or 0.0))  # a stable sort: equals stay as they were given
    missing = [Standing(one.name, one.kind, one.kind, "", None, NOT_MEASURED, note=one.reason) for one in absent]
    return (*rows, *missing)


def best_small(judged: Sequence[Judged]) -> Judged | None:
    """The best micro-AP of all but teachers; of equals the first."""
    small = [one for one in judged if one.contender.kind != "teacher"]
    return max(small, key=lambda one: one.detection.micro_ap, default=None)


def _standing(one: Judged, best: Judged | None, first: Judged | None) -> Standing:
    who = one.contender
    low, high = np.percentile(one.resampled, INTERVAL)
    return Standing(
        name=who.name,
        kind=who.kind,
        target=who.target,
        precision=who.precision,
        size_px=who.size_px,
        evidence=who.evidence,
        micro_ap=one.detection.micro_ap,
        micro_ap_low=float(low),
        micro_ap_high=float(high),
        recall_at_p90=one.detection.recall_at_p90,
        behind_best=None if best is None or one is best else _behind(best, one),
        p50_ms=_p50_ms(one.times.wall_ns),
        processor_p50_ms=_p50_ms(one.times.processor_ns),
        of_first=_ratio(one.times.wall_ns, first.times.wall_ns) if first and one.times.wall_ns else None,
        descriptor_bytes=who.descriptor_bytes,
        model_bytes=who.model_bytes,
        timed=who.timed,
        note=who.not_timed,
    )


def _behind(best: Judged, one: Judged) -> tuple[float, float, float]:
    """Draw b has the same queries for both, so their difference is taken draw by draw."""
    low, high = np.percentile(best.resampled - one.resampled, INTERVAL)
    return best.detection.micro_ap - one.detection.micro_ap, float(low), float(high)


def _p50_ms(samples_ns: Sequence[int]) -> float | None:
    return percentile(samples_ns, 50) / 1e6 if samples_ns else None


def _ratio(samples_ns: Sequence[int], first_ns: Sequence[int]) -> float:
    """A machine that is busy for a while slows both of a round alike."""
    return statistics.median(own / first for own, first in zip(samples_ns, first_ns, strict=True))
