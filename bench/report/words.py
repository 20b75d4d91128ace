"""The words that every form of the report shares: the device, the run, and what its terms mean."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.compatibility import Compatibility
from bench.records.record import TEACHER_TARGET, Record
from bench.records.rows import Row, interval, number
from devices.base import DeviceFacts
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.pictures.preprocessing import RESIZE_FILTER
from icd_mobile.retrieval.result import Accuracy

LEGEND = (
    "Every figure was **measured** on this device by the run named above, unless its cell says otherwise: "
    "**reference** is computed by a reference evaluator, **not measured** has its reason in the notes.",
    "Parity is the artifact against its checkpoint on the bundle's golden images, measured where it was exported.",
    "State: **ok**; **exported but failed its check** (it is below the parity bar of its precision); "
    "**failed** (it did not run to the end).",
    "Load and first inference are medians of fresh processes, without importing the runtime. p50, p90 and p99 are "
    "nearest-rank percentiles over the raw samples of the graph alone, warm-ups apart.",
    "Memory is of a process of its own: the peak resident size, and what of it came after the runtime's import.",
    "micro-AP as the Image Similarity Challenge 2021 defines it, with its 95 % interval over the queries. Retention is "
    "micro-AP over the baseline's, the PyTorch student in eager mode; of the teacher, over the teacher's. Score "
    "normalisation (SN) lowers each score by the mean of its query's three largest cosines to the dataset's training "
    "images, which are never judged.",
)


def describe_device(facts: DeviceFacts) -> list[tuple[str, str]]:
    """Titles and texts of what the device says of itself."""
    memory = NOT_MEASURED if facts.memory_bytes is None else f"{facts.memory_bytes / 2**30:.1f} GiB"
    return [
        ("device", f"{facts.name} ({facts.kind})"),
        ("model", facts.model),
        ("processor", f"{facts.cpu} ({facts.architecture})"),
        ("processors usable", NOT_MEASURED if facts.num_cpus is None else str(facts.num_cpus)),
        ("memory", memory),
        ("system", facts.os),
        ("governor", facts.governor),
        ("Python", facts.python),
    ]


def describe_run(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Titles and texts of how the figures were made, each that differs between records listed once."""
    accuracies = [record.accuracy for record in records if record.accuracy]
    has_teacher = any(record.artifact.target == TEACHER_TARGET for record in records)
    resize = f"{RESIZE_FILTER}{', the teacher its own filter' if has_teacher else ''}"
    datasets = {
        f"{accuracy.dataset}: {accuracy.num_queries} queries ({accuracy.num_positives} matching pairs), "
        f"{accuracy.num_references} references, codec {accuracy.codec}, score normalisation "
        f"{_normalization(accuracy)}, {accuracy.k} candidates a query, resize {resize}"
        for accuracy in accuracies
    }
    presets = {
        f"{record.preset.name} (at least {record.preset.min_count} samples and {record.preset.min_s:g} s)"
        for record in records
    }
    runtimes = {f"{record.runtime.package} {record.runtime.version}" for record in records if record.runtime}
    return [
        ("preset", ", ".join(sorted(presets))),
        ("threads", ", ".join(sorted({str(record.num_threads) for record in records}))),
        ("runtimes", ", ".join(sorted(runtimes)) or NOT_MEASURED),
        ("last run", max(record.created_utc for record in records).replace("T", " ").replace("Z", " UTC")),
        ("dataset", "; ".join(sorted(datasets)) or NOT_MEASURED),
    ]


def _normalization(accuracy: Accuracy) -> str:
    found = accuracy.normalized
    if found is None:
        return "none"
    return f"none, and {found.beta:g}{found.ranks} on {found.num_training} training images where said"


def describe_worst(found: Compatibility) -> str:
    """One sentence on the pair of artifacts that goes together worst."""
    worst = found.worst
    if worst is None:
        return "Compatibility: no two artifacts of one descriptor space were judged."
    index, queries = found.labels[worst.index], found.labels[worst.queries]
    own = worst.micro_ap - found.gain(worst)
    shift = found.threshold_shift(worst)
    evidences = {found.member(one).evidence for one in (worst.index, worst.queries)}
    evidence = "reference" if "reference" in evidences else "measured"
    return (
        f"Least compatible: an index of {index} queried by {queries}: micro-AP {worst.micro_ap:.3f} "
        f"({interval(worst.micro_ap_low, worst.micro_ap_high)}) where its own queries give {own:.3f}, first answer "
        f"changed for {worst.top1_changed:.1%} of all queries, cosine p1 {worst.cosine_p1:.3f}, threshold@P90 "
        f"{number(shift, '+z.3f')} ({evidence})."
    )


def notes_by_text(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Who each note is about, and the note; artifacts with the same note share one line."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            about.setdefault(note, []).append(row.label)
    return [(", ".join(labels), note) for note, labels in about.items()]
