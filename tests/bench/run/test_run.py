"""Whole runs: every bundle gets a record, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.artifacts import reference_artifacts
from bench.artifacts.artifact import Artifact
from bench.descriptors.fill import EmbedPlan
from bench.records.latency import Preset
from bench.records.record import Record
from bench.records.record_files import read_record
from bench.run import passes
from bench.run import run as run_module
from bench.run.passes import Plan, measure
from bench.run.run import RunPlan, run_bench
from bench.run.screen import Screen
from bench.run.thresholds import write_threshold
from devices.base import open_device
from export.bundle.bundle import check_files, read_manifest, write_manifest
from export.bundle.manifest import CalibrationImage, CalibrationInfo
from export.calibration.images import read_image
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import GateError, InputError
from icd_mobile.retrieval.accuracy import Compared
from icd_mobile.retrieval.result import BaselineInfo

NewBundle = Callable[..., Path]


@pytest.fixture
def plan(
    tmp_path: Path, dataset_dir: Path, bundle_dir: Path, tiny_preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> RunPlan:
    monkeypatch.setattr(passes, "NUM_COLD_STARTS", 2)
    return RunPlan(
        bundles=[bundle_dir],
        device="host",
        dataset=str(dataset_dir),
        datasets_dir=tmp_path / "datasets",
        preset=tiny_preset,
        num_threads=1,
        stores_dir=tmp_path / "stores",
        baseline="none",
        teacher=None,
        write_threshold=False,
        records_dir=tmp_path / "records",
    )


def test_good_bundle_gets_a_whole_record(plan: RunPlan, bundle_dir: Path) -> None:
    ((record, path),) = run_bench(plan, Screen()).records
    assert read_record(path) == record
    assert record.not_measured == {}
    assert record.load is not None
    assert len(record.load) == 2
    assert record.latency is not None
    assert len(record.latency.samples_ns) >= 5
    assert record.memory is not None
    assert record.memory.peak_bytes > record.memory.baseline_bytes > 0
    assert record.artifact.model_bytes == (bundle_dir / "model.onnx").stat().st_size
    # Brightened copies of smooth pictures are easy: every one is found before any other candidate.
    assert record.accuracy is not None
    assert (record.accuracy.micro_ap, record.accuracy.recall_at_1) == (1.0, 1.0)
    assert (record.accuracy.num_queries, record.accuracy.num_references, record.accuracy.num_positives) == (5, 6, 4)
    assert len(list(plan.records_dir.glob("*.examples.json"))) == 1


def test_what_fails_is_written_down_and_the_others_go_on(plan: RunPlan, new_bundle: NewBundle) -> None:
    bundles = [new_bundle("a", target="palmos"), new_bundle("b", model=b"no graph"), new_bundle("c")]
    foreign, broken, good = (record for record, _ in run_bench(replace(plan, bundles=bundles), Screen()).records)
    assert foreign.state == "ok"
    assert set(foreign.not_measured.values()) == {"no runtime for 'palmos' here"}
    assert broken.state == "failed"
    assert broken.failure is not None
    assert broken.failure.startswith("the load pass crashed: ")
    assert broken.not_measured["accuracy"] == f"the run failed: {broken.failure}"
    assert good.not_measured == {}


def test_baseline_is_measured_first_and_travels_in_the_records(
    plan: RunPlan, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_baseline(_student: str, _folder: Path) -> Artifact:
        artifact = run_module.bundle_artifact(bundle_dir)
        info = artifact.info.model_copy(update={"target": "pytorch", "name": "base", "weights_sha256": "b" * 64})
        return replace(artifact, info=info)

    monkeypatch.setattr(reference_artifacts, "baseline_artifact", fake_baseline)
    (base, _), (record, _) = run_bench(replace(plan, baseline="default"), Screen()).records
    assert base.artifact.target == "pytorch"
    assert base.accuracy is not None
    assert base.accuracy.baseline is None
    assert record.accuracy is not None
    assert record.accuracy.baseline == BaselineInfo(name="base", weights_sha256="b" * 64, micro_ap=1.0)
    assert record.retention == 1.0
    assert record.other_weights


def test_missing_runtime_is_reported_with_its_install_command(
    dataset_dir: Path, tmp_path: Path, tiny_preset: Preset, scripted_artifact: Callable[[str], Artifact]
) -> None:
    dataset = read_dataset(dataset_dir)
    embedding = EmbedPlan(tmp_path / "stores", tmp_path / "pixels", num_threads=1)
    plan = Plan(tiny_preset, dataset, "no edits", embedding, Compared(None, None, "no teacher"))
    with open_device("host") as host:
        record = measure(host, scripted_artifact("import gone"), plan, lambda _name, _done, _total: None)
    assert record.state == "ok"
    assert set(record.not_measured.values()) == {"gone is not installed on host: pip install fake"}


def test_corrupt_image_is_left_out_and_counted(plan: RunPlan, own_dataset_dir: Path) -> None:
    (own_dataset_dir / "references" / "r0.png").write_bytes(b"no picture")
    ((record, _),) = run_bench(replace(plan, dataset=str(own_dataset_dir)), Screen()).records
    assert record.accuracy is not None
    assert record.accuracy.num_skipped == 1
    # Three pairs of four can be found, so micro-AP is at most 3/4; q0's candidates are now negatives.
    assert 0.5 < record.accuracy.micro_ap <= 0.75


def test_copydays_tree_is_judged_block_by_block(plan: RunPlan, dataset_dir: Path) -> None:
    # Brightened copies of smooth pictures: each finds its original first, which is 1 by the trapezoid rule.
    folder = plan.datasets_dir / "copydays"
    for index in range(4):
        for part, source in (("original", "references/r"), ("strong", "queries/q"), ("crops/10", "queries/q")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            name = f"200{index}0{int(part == 'strong')}.jpg"
            (folder / part / name).write_bytes((dataset_dir / f"{source}{index}.png").read_bytes())
    (folder / "strong" / "200002.jpg").write_bytes(b"")
    ((record, _),) = run_bench(replace(plan, dataset="copydays"), Screen()).records
    assert record.accuracy is not None
    assert record.accuracy.dataset == "copydays without jpegqual, 8 of 9 crops, partial"
    assert record.accuracy.num_skipped == 1
    assert record.accuracy.copydays is not None
    assert record.accuracy.copydays.mean_ap == {"strong": 4 / 5, "crops/10": 1.0}


def test_disc_tree_is_judged(plan: RunPlan, dataset_dir: Path) -> None:
    folder = plan.datasets_dir / "disc"
    for part, first, source, count in (("images", "R00000", "references/r", 6), ("images", "Q0000", "queries/q", 5)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            content = (dataset_dir / f"{source}{index}.png").read_bytes()
            (folder / part / f"{first}{index}.jpg").write_bytes(content)
    (folder / "dev_queries_groundtruth.csv").write_text("".join(f"Q0000{n},R00000{n}\n" for n in range(4)))
    ((record, _),) = run_bench(replace(plan, dataset="disc"), Screen()).records
    assert record.accuracy is not None
    assert (record.accuracy.num_queries, record.accuracy.micro_ap, record.accuracy.recall_at_1) == (5, 1.0, 1.0)
    assert record.accuracy.dataset == "disc/dev_queries_groundtruth.csv, partial"


def test_changed_bundle_stops_the_run_before_anything_is_measured(plan: RunPlan, new_bundle: NewBundle) -> None:
    good, changed = new_bundle("a"), new_bundle("b")
    (changed / "model.onnx").write_bytes(b"other")
    with pytest.raises(GateError, match=r"model\.onnx has changed"):
        run_bench(replace(plan, bundles=[good, changed]), Screen())
    assert not plan.records_dir.exists()


def test_unknown_dataset_is_one_clear_error(plan: RunPlan) -> None:
    with pytest.raises(InputError, match="no-such-dataset has no references"):
        run_bench(replace(plan, dataset="no-such-dataset"), Screen())


def test_nothing_is_left_on_the_device_after_a_run(
    plan: RunPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    run_bench(plan, Screen())
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("part", "kind"), [("queries", "query"), ("references", "reference")])
def test_dataset_without_a_readable_image_stops_before_anything_is_measured(
    plan: RunPlan, own_dataset_dir: Path, monkeypatch: pytest.MonkeyPatch, part: str, kind: str
) -> None:
    monkeypatch.setattr(run_module, "measure", lambda *_: pytest.fail("measured"))
    for path in (own_dataset_dir / part).iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=f"no readable {kind}"):
        run_bench(replace(plan, dataset=str(own_dataset_dir)), Screen())


def test_record_folder_that_cannot_be_made_stops_before_anything_is_measured(
    plan: RunPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_module, "measure", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="choose another --out"):
        run_bench(replace(plan, records_dir=tmp_path / "file" / "records"), Screen())


def test_record_folder_that_cannot_be_written_stops_before_anything_is_measured(
    plan: RunPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "measure", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr("os.access", lambda path, _mode: path != plan.records_dir)  # root may write anywhere
    with pytest.raises(InputError, match="records is not writable; choose another --out"):
        run_bench(plan, Screen())


def test_threshold_goes_into_the_bundle_which_still_verifies_and_is_not_embedded_again(
    plan: RunPlan, new_bundle: NewBundle, own_dataset_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = new_bundle("mine")
    plan = replace(plan, bundles=[bundle], dataset=str(own_dataset_dir), write_threshold=True)
    first = run_bench(plan, Screen())
    ((record, _),) = first.records
    assert record.accuracy is not None
    assert first.thresholds == [
        f"mine: threshold {record.accuracy.threshold_at_p90:.4f} written into {bundle}/manifest.json"
    ]
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    assert manifest.accuracy.threshold_at_p90 == record.accuracy.threshold_at_p90
    assert (manifest.accuracy.dataset, manifest.accuracy.dataset_sha256) == ("dataset", record.accuracy.dataset_sha256)
    assert manifest.accuracy.evidence == "measured"
    assert manifest.accuracy.runtime is not None
    assert manifest.accuracy.runtime.startswith("onnxruntime ")
    monkeypatch.setattr("bench.artifacts.remote.embed", lambda *_: pytest.fail("embedded again"))
    ((again, _),) = run_bench(plan, Screen()).records
    assert again.failure is None
    assert (again.accuracy, again.stability) == (record.accuracy, record.stability)


def test_threshold_that_was_never_reached_is_not_written(
    new_bundle: NewBundle, new_record: Callable[..., Record]
) -> None:
    bundle = new_bundle("mine")
    before = (bundle / "manifest.json").read_bytes()
    accuracy = new_record().accuracy
    assert accuracy is not None
    record = new_record(accuracy=accuracy.model_copy(update={"threshold_at_p90": None}))
    assert write_threshold(bundle, record).endswith(
        "no threshold written: precision 0.9 was never reached on sample-v1"
    )
    assert (bundle / "manifest.json").read_bytes() == before


def test_teacher_is_measured_first_and_retention_is_relative_to_it_too(
    plan: RunPlan, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(target: str, model_sha256: str) -> Callable[[str, Path], Artifact]:
        artifact = run_module.bundle_artifact(bundle_dir)
        info = artifact.info.model_copy(update={"target": target, "name": target, "model_sha256": model_sha256})
        return lambda _name, _folder: replace(artifact, info=info, bundle_dir=None)

    monkeypatch.setattr(reference_artifacts, "teacher_artifact", fake("teacher", "7" * 64))
    monkeypatch.setattr(reference_artifacts, "baseline_artifact", fake("pytorch", "b" * 64))
    result = run_bench(replace(plan, teacher="big", baseline="default"), Screen())
    (teacher, _), (baseline, _), (record, _) = result.records
    assert [found.artifact.target for found in (teacher, baseline, record)] == ["teacher", "pytorch", "onnx"]
    assert teacher.accuracy is not None
    assert teacher.accuracy.not_measured["teacher"] == "it is the teacher itself"
    assert record.accuracy is not None
    assert record.accuracy.teacher == BaselineInfo(name="teacher", weights_sha256="0" * 64, micro_ap=1.0)
    assert record.teacher_retention == 1.0
    # Three artifacts of the same graph: every pair is crossed and nothing changes.
    assert result.compatibility is not None
    assert len(result.compatibility.cells) == 9
    assert {cell.top1_changed for cell in result.compatibility.cells} == {0.0}
    assert len(list(plan.records_dir.glob("*.compatibility.json"))) == 1


def test_teacher_that_the_students_name_and_that_is_not_here_is_said_and_not_fatal(
    plan: RunPlan, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_name: str, _folder: Path) -> Artifact:
        raise InputError("its weights are not here")

    monkeypatch.setattr(reference_artifacts, "teacher_artifact", absent)
    artifact = replace(run_module.bundle_artifact(bundle_dir), teacher="big")
    monkeypatch.setattr(run_module, "bundle_artifact", lambda _path: artifact)
    ((record, _),) = run_bench(plan, Screen()).records
    assert record.accuracy is not None
    assert record.accuracy.not_measured["teacher"] == "its weights are not here"
    with pytest.raises(InputError, match="its weights are not here"):
        run_bench(replace(plan, teacher="big"), Screen())


def _as_int8(bundle: Path, images: tuple[CalibrationImage, ...]) -> None:
    info = CalibrationInfo(source="photos", num_images=2, num_views=4, sha256="a" * 64, skipped=(), images=images)
    manifest = read_manifest(bundle)
    quantization = manifest.quantization.model_copy(update={"calibration": info})
    write_manifest(bundle, manifest.model_copy(update={"precision": "int8", "quantization": quantization}))


def test_a_bundle_calibrated_on_an_image_of_the_test_has_it_in_its_record(
    plan: RunPlan, new_bundle: NewBundle, dataset_dir: Path
) -> None:
    bundle, reference = new_bundle("a"), dataset_dir / "references" / "r4.png"
    _as_int8(bundle, (read_image("mine.png", reference.read_bytes()).info,))
    ((record, _),) = run_bench(replace(plan, bundles=[bundle]), Screen()).records
    assert record.accuracy is not None
    assert [one.other for one in record.accuracy.calibration_overlap] == ["references/r4.png"]
