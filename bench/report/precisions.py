"""Which precision to ship for each student and target on a device, and where that is not int8, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.record import REFERENCE_TARGETS, Record
from bench.report.recommend import MAX_MICRO_AP_LOSS, Compared, comparable

INT8 = "int8"


@dataclass(frozen=True)
class PrecisionChoice:
    """`precision` is None where no precision can be recommended; the sentence has the reason."""

    student: str
    target: str
    precision: str | None
    sentence: str


def choose_precisions(records: Sequence[Record]) -> list[PrecisionChoice]:
    """One choice for each student and target among the records of one device, in the order of the records.

    The recommended precision is the fastest, by its median, whose micro-AP is within the margin of the student's.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.artifact.target not in REFERENCE_TARGETS:
            groups.setdefault((record.artifact.student, record.artifact.target), []).append(record)
    return [_choose(student, target, group) for (student, target), group in groups.items()]


def _choose(student: str, target: str, group: Sequence[Record]) -> PrecisionChoice:
    compared = comparable(group)
    good = [one for one in compared if one.is_good]
    if not good:
        why = _why_none(compared, group)
        return PrecisionChoice(student, target, None, f"{student} on {target}: no precision recommended: {why}.")
    chosen = min(good, key=lambda one: one.p50_ms)
    precision = chosen.record.artifact.precision
    sentence = (
        f"{student} on {target}: {precision}, p50 {chosen.p50_ms:.1f} ms, micro-AP {chosen.accuracy.micro_ap:.3f} "
        f"against {chosen.bar:.3f}{chosen.flags}"
    )
    if precision != INT8:
        sentence += f"; not int8: {_why_not_int8(chosen, compared, group)}"
    return PrecisionChoice(student, target, precision, f"{sentence}.")


def _why_none(compared: Sequence[Compared], group: Sequence[Record]) -> str:
    if compared:
        nearest = min(compared, key=lambda one: one.loss)
        return (
            f"none is within {MAX_MICRO_AP_LOSS} of the student's micro-AP {nearest.bar:.3f}, the nearest is "
            f"{nearest.record.artifact.precision} with {nearest.accuracy.micro_ap:.3f}"
        )
    problems = dict.fromkeys(f"{record.artifact.precision} {_problem(record)}" for record in group)
    return ", ".join(problems)


def _why_not_int8(chosen: Compared, compared: Sequence[Compared], group: Sequence[Record]) -> str:
    measured = [one for one in compared if one.record.artifact.precision == INT8]
    if not measured:
        problems = [_problem(record) for record in group if record.artifact.precision == INT8]
        return f"it {problems[0]}" if problems else "none was measured"
    int8 = min(measured, key=lambda one: one.p50_ms)
    ratio = int8.p50_ms / chosen.p50_ms
    speed = f"p50 {int8.p50_ms:.1f} ms, {ratio:.2f} times the time"
    if int8.is_good:
        return f"it is slower ({speed}), at micro-AP {int8.accuracy.micro_ap:.3f}"
    loses = f"it loses {int8.loss:.3f} (micro-AP {int8.accuracy.micro_ap:.3f})"
    return f"{loses} and is slower ({speed})" if ratio > 1 else f"{loses}, though faster ({speed})"


def _problem(record: Record) -> str:
    """Why a record cannot be chosen."""
    if record.failure:
        return f"failed ({record.failure})"
    if record.state != "ok":
        return "is below its parity bar"
    if record.stability and record.stability.ignores_colour:
        return "ignores colour"
    if record.other_weights:
        return "is of other weights than the baseline"
    if record.accuracy is None:
        return f"was not judged ({record.not_measured['accuracy']})"
    if record.accuracy.baseline is None:
        return "was judged without a baseline"
    return f"was not timed ({record.not_measured['latency']})"
