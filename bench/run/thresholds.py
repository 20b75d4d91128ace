"""From a record to the threshold that its bundle's manifest gives an app."""

from __future__ import annotations

from pathlib import Path

from bench.records.record import Record
from export.bundle.manifest import Accuracy
from export.bundle.write_accuracy import write_accuracy


def write_threshold(bundle_dir: Path, record: Record) -> str:
    """Write what was measured into the bundle, or nothing where precision 0.9 was not reached; returns what was done.

    Raises:
        InputError, GateError: as `write_accuracy`.
    """
    accuracy, name = record.accuracy, record.artifact.name
    if accuracy is None or record.runtime is None:
        return f"{name}: no threshold written: {record.not_measured['accuracy']}"
    if accuracy.threshold_at_p90 is None:
        return f"{name}: no threshold written: precision 0.9 was never reached on {accuracy.dataset}"
    write_accuracy(
        bundle_dir,
        Accuracy(
            evidence=accuracy.evidence,
            dataset=accuracy.dataset,
            dataset_sha256=accuracy.dataset_sha256,
            device=f"{record.device.name} ({record.device.cpu})",
            runtime=f"{record.runtime.package} {record.runtime.version}",
            micro_ap=accuracy.micro_ap,
            recall_at_p90=accuracy.recall_at_p90,
            threshold_at_p90=accuracy.threshold_at_p90,
        ),
    )
    return f"{name}: threshold {accuracy.threshold_at_p90:.4f} written into {bundle_dir / 'manifest.json'}"
