"""Record files: whole, strict, and read back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydantic
import pytest

from bench.records.record import Record
from bench.records.record_files import read_record, read_records, write_record
from icd_mobile.errors import InputError
from icd_mobile.retrieval.result import BaselineInfo

NewRecord = Callable[..., Record]


def test_record_comes_back_as_it_was(new_record: NewRecord, tmp_path: Path) -> None:
    record = new_record()
    path = write_record(record, tmp_path / "records")
    assert path.name == "tiny-onnx-fp32--host--20250102T030405Z.record.json"
    assert read_record(path) == record


def test_record_keeps_raw_values_and_no_statistics(new_record: NewRecord, tmp_path: Path) -> None:
    content = json.loads(write_record(new_record(), tmp_path).read_text())
    assert len(content["latency"]["samples_ns"]) == 20
    assert "p50" not in json.dumps(content)


@pytest.mark.parametrize("size", [0, 1, 200, -1])
def test_truncated_record_is_refused_by_name(new_record: NewRecord, tmp_path: Path, size: int) -> None:
    path = write_record(new_record(), tmp_path)
    path.write_text(path.read_text()[:size])
    with pytest.raises(InputError, match=path.name):
        read_record(path)


@pytest.mark.parametrize("where", [(), ("artifact",), ("device",), ("latency",), ("preset",)])
def test_unknown_key_is_refused_by_name(new_record: NewRecord, tmp_path: Path, where: tuple[str, ...]) -> None:
    path = write_record(new_record(), tmp_path)
    content = json.loads(path.read_text())
    part = content
    for key in where:
        part = part[key]
    part["surprise"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="surprise"):
        read_record(path)


def test_newer_schema_asks_for_an_update(new_record: NewRecord, tmp_path: Path) -> None:
    path = write_record(new_record(), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 4, "new_part": {}}))
    with pytest.raises(InputError, match="has schema 4, this version reads up to 3; update icd-mobile"):
        read_record(path)


def test_record_of_schema_1_is_still_read(new_record: NewRecord, tmp_path: Path) -> None:
    record = new_record()
    path = write_record(record, tmp_path)
    content = json.loads(path.read_text())
    del content["stability"]
    for name in ("recall_at_10", "accuracy_at_1", "normalized", "teacher", "not_measured"):
        del content["accuracy"][name]
    del content["accuracy"]["baseline"]["normalized_micro_ap"]
    path.write_text(json.dumps(content | {"schema_version": 1}))
    (old,) = read_records(tmp_path)
    assert old.latency == record.latency
    assert old.retention == record.retention
    assert old.accuracy is not None
    assert (old.accuracy.micro_ap, old.accuracy.normalized, old.accuracy.recall_at_10) == (0.8, None, None)
    assert old.not_measured == {"stability": "the record is older than this pass; run `python -m bench run` again"}


def test_other_json_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "x.record.json").write_text('{"kind": "something else"}')
    with pytest.raises(InputError, match="not a whole record"):
        read_records(tmp_path)


def test_missing_pass_needs_a_reason(new_record: NewRecord) -> None:
    with pytest.raises(pydantic.ValidationError, match="passes without values"):
        new_record(memory=None)
    assert new_record(memory=None, not_measured={"memory": "why"}).memory is None
    with pytest.raises(pydantic.ValidationError, match="passes without values"):
        new_record(not_measured={"memory": "why"})


def test_newest_record_of_each_artifact_and_thread_count_is_read(new_record: NewRecord, tmp_path: Path) -> None:
    for stamp, p50_ms in (
        ("2025-01-02T00:00:00Z", 20.0),
        ("2025-01-03T00:00:00Z", 30.0),
        ("2025-01-01T00:00:00Z", 10.0),
    ):
        write_record(new_record(p50_ms, created_utc=stamp), tmp_path)
    write_record(new_record(5.0, created_utc="2025-01-01T00:00:01Z", num_threads=4), tmp_path)
    found = read_records(tmp_path)
    assert [(record.num_threads, record.created_utc[:10]) for record in found] == [(1, "2025-01-03"), (4, "2025-01-01")]


def test_other_model_dataset_or_computer_of_the_same_name_is_another_record(
    new_record: NewRecord, tmp_path: Path
) -> None:
    first = new_record()
    assert first.accuracy is not None
    others = [
        new_record(info={"model_sha256": "2" * 64}),
        new_record(accuracy=first.accuracy.model_copy(update={"dataset_sha256": "e" * 64})),
        new_record(device=replace(first.device, cpu="another")),
    ]
    for day, record in enumerate([first, *others], start=1):
        write_record(record.model_copy(update={"created_utc": f"2025-01-0{day}T00:00:00Z"}), tmp_path)
    assert len(read_records(tmp_path)) == 4


def test_failed_run_is_forgotten_once_a_later_one_went_well(new_record: NewRecord, tmp_path: Path) -> None:
    failed = new_record(accuracy=None, not_measured={"accuracy": "the run failed"}, failure="crashed")
    write_record(failed, tmp_path)
    write_record(new_record(created_utc="2025-01-03T00:00:00Z"), tmp_path)
    assert [record.failure for record in read_records(tmp_path)] == [None]


@pytest.mark.parametrize("name", ["../evil", "/evil", ".hidden", "a/b", "", "a b", "a\n"])
def test_name_that_is_no_file_name_is_refused(new_record: NewRecord, tmp_path: Path, name: str) -> None:
    path = write_record(new_record(), tmp_path)
    content = json.loads(path.read_text())
    for part in ("artifact", "device"):
        path.write_text(json.dumps(content | {part: content[part] | {"name": name}}))
        with pytest.raises(InputError, match=part):
            read_record(path)


def test_dataset_hash_that_is_no_hash_is_refused(new_record: NewRecord, tmp_path: Path) -> None:
    path = write_record(new_record(), tmp_path)
    content = json.loads(path.read_text())
    content["accuracy"]["dataset_sha256"] = "../../evil"  # it names the file of the examples
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="dataset_sha256"):
        read_record(path)


def test_folder_without_records_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="python -m bench run"):
        read_records(tmp_path)


def test_folder_that_cannot_be_written_is_named(new_record: NewRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="choose another --out"):
        write_record(new_record(), tmp_path / "file")


def test_state_is_failed_where_the_run_failed(new_record: NewRecord) -> None:
    assert new_record().state == "ok"
    assert new_record(info={"state": "exported but failed its check"}).state == "exported but failed its check"
    assert new_record(failure="crashed").state == "failed"


def test_retention_is_relative_to_the_baseline(new_record: NewRecord) -> None:
    assert new_record(micro_ap=0.6).retention == pytest.approx(0.75)  # 0.6 of 0.8
    accuracy = new_record().accuracy
    assert accuracy is not None
    assert new_record(accuracy=accuracy.model_copy(update={"baseline": None})).retention is None
    nothing_found = BaselineInfo(name="b", weights_sha256="0" * 64, micro_ap=0.0)
    assert new_record(accuracy=accuracy.model_copy(update={"baseline": nothing_found})).retention is None


def test_retention_is_relative_to_the_teacher_too(new_record: NewRecord) -> None:
    accuracy = new_record().accuracy
    assert accuracy is not None
    assert new_record().teacher_retention is None
    teacher = BaselineInfo(name="t", weights_sha256="f" * 64, micro_ap=0.9)
    record = new_record(accuracy=accuracy.model_copy(update={"micro_ap": 0.45, "teacher": teacher}))
    assert record.teacher_retention == pytest.approx(0.5)  # 0.45 of 0.9
    assert not record.other_weights


def test_baseline_of_other_weights_is_noticed(new_record: NewRecord) -> None:
    assert not new_record().other_weights
    assert new_record(info={"weights_sha256": "f" * 64}).other_weights
