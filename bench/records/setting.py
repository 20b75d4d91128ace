"""What the rows of one report have in common: the device and the dataset that its head names, and what differs.

The newest record says which these are; a row from elsewhere is reported with a note, and never recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.records.record import Record
from devices.base import DeviceFacts
from icd_mobile.retrieval.result import Accuracy


@dataclass(frozen=True)
class Setting:
    """The device, with all its facts, and the dataset; None where nothing was judged there."""

    device: DeviceFacts
    accuracy: Accuracy | None

    def differences(self, record: Record) -> tuple[str, ...]:
        """What a reader must know before comparing this record with the others, each in one phrase."""
        notes = []
        if record.device != self.device:
            named, own = asdict(self.device), asdict(record.device)
            facts = ", ".join(f"{name} {value}" for name, value in own.items() if value != named[name])
            notes.append(f"measured on another device than the one named above ({facts}): do not compare its times")
        judged, mine = self.accuracy, record.accuracy
        if judged and mine and mine.dataset_sha256 != judged.dataset_sha256:
            notes.append(
                f"judged on {mine.dataset} ({mine.dataset_sha256[:8]}), the newest run on {judged.dataset} "
                f"({judged.dataset_sha256[:8]}): do not compare its micro-AP"
            )
        return tuple(notes)

    def alike(self, records: Sequence[Record]) -> list[Record]:
        """The records without a difference."""
        return [record for record in records if not self.differences(record)]


def common_setting(records: Sequence[Record]) -> Setting:
    """The device of the newest record, and the dataset of the newest one judged there."""
    newest_first = sorted(records, key=lambda record: record.created_utc, reverse=True)
    device = newest_first[0].device
    judged = (record.accuracy for record in newest_first if record.accuracy and record.device == device)
    return Setting(device, next(judged, None))
