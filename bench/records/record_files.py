"""Record files: written whole, read strictly, and the newest of each artifact picked from a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pydantic

from bench.records.record import SCHEMA_VERSION, Record
from icd_mobile.errors import InputError
from icd_mobile.files import write_result

RECORD_SUFFIX = ".record.json"


def write_record(record: Record, folder: Path) -> Path:
    """Write whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written.
    """
    stem = f"{record.artifact.name}--{record.device.name}"
    return write_result(folder, stem, record.created_utc, RECORD_SUFFIX, record.model_dump_json())


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
        return Record.model_validate_json(_upgraded(text))
    except pydantic.ValidationError as error:
        raise InputError(f"{path} {_why_refused(text, error)}") from error


def _upgraded(text: str) -> str:
    """A record of schema 1 as one of today's; any other text as it is."""
    try:
        content = json.loads(text)
        if content["schema_version"] != 1:
            return text
        content["not_measured"]["stability"] = "the record is older than this pass; run `python -m bench run` again"
    except (ValueError, KeyError, TypeError):  # not a record: the schema says what is wrong with it
        return text
    return json.dumps(content | {"schema_version": SCHEMA_VERSION})


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
