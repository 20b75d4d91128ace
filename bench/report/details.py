"""The report's tables beside the main one: detection, stability, and every pair of artifacts, as plain texts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.compatibility import Compatibility
from bench.records.record import CANARY, EDITS, REFERENCE_TARGETS, Record
from bench.records.rows import Row, number
from export.bundle.manifest import StructureCheck
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.retrieval.result import Accuracy, BaselineInfo

NEVER = "never reached"


@dataclass(frozen=True)
class TextTable:
    """Cells as people read them; `notes` stand below. The first `num_words` columns are words, the others figures."""

    title: str
    intro: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_words: int
    notes: tuple[str, ...] = ()


def detection_table(records: Sequence[Record], rows: Sequence[Row]) -> TextTable:
    """Each artifact without and with score normalisation; what was not measured has its reason below."""
    lines: list[tuple[str, ...]] = []
    notes: list[str] = []
    for record, row in zip(records, rows, strict=True):
        found = record.accuracy
        if found is None:
            lines.append((row.label, *(NOT_MEASURED,) * 10))
            continue
        shares = ("itself" if row.is_baseline else "", "itself" if row.is_teacher else "")
        lines.append(_plain_line(row.judged_label, found, shares))
        if found.normalized:
            lines.append(_normalized_line(row.judged_label, found, shares))
        notes += [
            f"{_WORDS.get(part, part)}: {reason}"
            for part, reason in found.not_measured.items()
            if not (part == "teacher" and row.is_teacher)
        ]
    return TextTable(
        title="Detection",
        intro="With its 95 % interval over the queries. Recall@k and accuracy@1 look at one query at a time, so that "
        "score normalisation does not change them.",
        head=(
            "artifact",
            "score normalisation",
            "micro-AP",
            "95 % interval",
            "recall@P90",
            "threshold@P90",
            "recall@1",
            "recall@10",
            "accuracy@1",
            "of the student",
            "of the teacher",
        ),
        rows=tuple(lines),
        num_words=2,
        notes=tuple(f"{NOT_MEASURED}, {note}" for note in dict.fromkeys(notes)),
    )


_WORDS = {
    "normalized": "score normalisation",
    "teacher": "the teacher",
    "calibration": "whether an artifact was calibrated on images of this test",
}


def _plain_line(label: str, found: Accuracy, shares: tuple[str, str]) -> tuple[str, ...]:
    return (
        label,
        "none",
        number(found.micro_ap, ".3f"),
        f"{found.micro_ap_low:.3f} to {found.micro_ap_high:.3f}",
        number(found.recall_at_p90, ".3f"),
        _threshold(found.threshold_at_p90),
        number(found.recall_at_1, ".3f"),
        number(found.recall_at_10, ".3f"),
        number(found.accuracy_at_1, ".3f"),
        shares[0] or _share(found.micro_ap, found.baseline.micro_ap if found.baseline else None),
        shares[1] or _share(found.micro_ap, found.teacher.micro_ap if found.teacher else None),
    )


def _normalized_line(label: str, found: Accuracy, shares: tuple[str, str]) -> tuple[str, ...]:
    normalized = found.normalized
    assert normalized is not None, "called only where it was measured"
    return (
        label,
        f"{normalized.beta:.1f}{normalized.ranks}, {normalized.num_training:,} images",
        number(normalized.micro_ap, ".3f"),
        f"{normalized.micro_ap_low:.3f} to {normalized.micro_ap_high:.3f}",
        number(normalized.recall_at_p90, ".3f"),
        _threshold(normalized.threshold_at_p90),
        "as above",
        "as above",
        "as above",
        shares[0] or _share(normalized.micro_ap, _normalized_of(found.baseline)),
        shares[1] or _share(normalized.micro_ap, _normalized_of(found.teacher)),
    )


def _normalized_of(other: BaselineInfo | None) -> float | None:
    return other.normalized_micro_ap if other else None


def _share(micro_ap: float, other: float | None) -> str:
    return number(micro_ap / other if other else None, ".3f")


def _threshold(value: float | None) -> str:
    return NEVER if value is None else number(value, ".4f")


def structure_table(records: Sequence[Record], rows: Sequence[Row]) -> TextTable:
    """What a phone's backends would take of each graph, a line for each backend."""
    lines: list[tuple[str, ...]] = []
    for record, row in zip(records, rows, strict=True):
        checks = record.artifact.structure
        if checks is None and record.artifact.target not in REFERENCE_TARGETS:
            why = f"{NOT_MEASURED}: its bundle is older than this check; export it again"
            lines.append((row.label, "any", why, *(NOT_MEASURED,) * 3))
        lines += [_structure_line(row.label, check) for check in checks or ()]
    return TextTable(
        title="Taken by a phone's backends",
        intro="Read from each graph when it was exported, where no phone was at hand: every change between partitions "
        "costs a copy, and one partition with every op is best. It says nothing of time, and a phone's driver may take "
        "less.",
        head=("artifact", "backend", "evidence", "left to slower kernels", "ops taken", "partitions"),
        rows=tuple(lines),
        num_words=4,
    )


def _structure_line(label: str, check: StructureCheck) -> tuple[str, ...]:
    evidence = f"{check.evidence}: {check.source}"
    if check.num_partitions is None:
        return (label, check.backend, evidence, *(NOT_MEASURED,) * 3)
    left = ", ".join(f"{count} {kind}" for kind, count in check.left.items()) or "none"
    return (label, check.backend, evidence, left, f"{check.num_taken} of {check.num_ops}", str(check.num_partitions))


def stability_table(records: Sequence[Record], rows: Sequence[Row]) -> TextTable:
    """Median and least cosine of each edit, and the canary's, with a word where it failed."""
    lines = []
    for record, row in zip(records, rows, strict=True):
        found = record.stability
        if found is None:
            lines.append((row.label, *(NOT_MEASURED,) * (len(EDITS) + 2)))
            continue
        verdict = "FAILED: ignores colour" if found.ignores_colour else "moves it, as it must"
        edits = (_cosines(found.cosines.get(name, ())) for name in EDITS)
        lines.append((row.judged_label, *edits, _cosines(found.canary_cosines), verdict))
    num_images = {record.stability.num_images for record in records if record.stability}
    which = f"{' or '.join(map(str, sorted(num_images)))} references of the dataset" if num_images else "no image"
    return TextTable(
        title="Stability",
        intro=f"Cosine between the descriptor of a picture and of an edit of it, median (least), over {which}. The "
        "last edit is a canary: swapping red and blue must move the descriptor more than every harmless edit does.",
        head=("artifact", *EDITS, CANARY, "canary"),
        rows=tuple(lines),
        num_words=1,
    )


def _cosines(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f})" if values else NOT_MEASURED


def compatibility_table(found: Compatibility) -> TextTable:
    """Every pair, its own queries first."""
    lines = []
    labels = found.labels
    for cell in sorted(found.cells, key=lambda cell: cell.index != cell.queries):
        shift = found.threshold_shift(cell)
        lines.append(
            (
                labels[cell.index],
                labels[cell.queries],
                number(cell.micro_ap, ".3f"),
                f"{cell.micro_ap_low:.3f} to {cell.micro_ap_high:.3f}",
                number(found.gain(cell), "+z.3f"),
                number(cell.cosine_p1, ".3f"),
                number(cell.cosine_p50, ".3f"),
                f"{cell.top1_changed:.1%}",
                _threshold(cell.threshold_at_p90),
                number(shift, "+z.4f"),  # z: what rounds to zero has no minus
            )
        )
    return TextTable(
        title="Every pair",
        intro="",
        head=(
            "index built by",
            "queried by",
            "micro-AP",
            "95 % interval",
            "against its own queries",
            "cosine p1",
            "cosine p50",
            "first answers changed",
            "threshold@P90",
            "its shift",
        ),
        rows=tuple(lines),
        num_words=2,
    )


def describe_matrix(found: Compatibility) -> str:
    """What was searched, and how to read it."""
    scale = "a sample of the dataset, alike for all" if found.sampled else "the whole dataset"
    return (
        f"An index built by one artifact, queried by another: {found.num_queries:,} queries among "
        f"{found.num_references:,} references of {found.dataset}, {scale}. On the diagonal an artifact answers its own "
        "queries. A threshold belongs to the pair that it was measured with."
    )
