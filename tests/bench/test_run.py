"""Whole runs: every bundle gets a record, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import run as run_module
from bench.artifacts import Artifact
from bench.datasets import pixels_of, read_dataset
from bench.latency import Preset
from bench.passes import Plan, measure
from bench.records import BaselineInfo, read_record
from bench.run import RunPlan, run_bench
from bench.screen import Screen
from devices.base import open_device
from distill.errors import GateError, InputError

NewBundle = Callable[..., Path]


@pytest.fixture
def plan(tmp_path: Path, dataset_dir: Path, bundle_dir: Path, tiny_preset: Preset) -> RunPlan:
    return RunPlan(
        bundles=[bundle_dir],
        device="host",
        dataset=str(dataset_dir),
        datasets_dir=tmp_path / "datasets",
        preset=tiny_preset,
        num_threads=1,
        baseline="none",
        records_dir=tmp_path / "records",
    )


def test_good_bundle_gets_a_whole_record(plan: RunPlan, bundle_dir: Path) -> None:
    ((record, path),) = run_bench(plan, Screen())
    assert read_record(path) == record
    assert record.not_measured == {}
    assert record.load is not None
    assert len(record.load) == 3
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
    bundles = [new_bundle("a", target="coreml"), new_bundle("b", model=b"no graph"), new_bundle("c")]
    apple, broken, good = (record for record, _ in run_bench(replace(plan, bundles=bundles), Screen()))
    assert apple.state == "ok"
    assert set(apple.not_measured.values()) == {"Core ML runs on Apple systems only"}
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

    monkeypatch.setattr(run_module, "baseline_artifact", fake_baseline)
    (base, _), (record, _) = run_bench(replace(plan, baseline="default"), Screen())
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
    plan = Plan(tiny_preset, 1, dataset, pixels_of(dataset, 64, tmp_path / "pixels"), baseline=None)
    with open_device("host") as host:
        record = measure(host, scripted_artifact("import gone"), plan, lambda _name, _done, _total: None)
    assert record.state == "ok"
    assert set(record.not_measured.values()) == {"gone is not installed on host: pip install fake"}


def test_corrupt_image_is_left_out_and_counted(plan: RunPlan, own_dataset_dir: Path) -> None:
    (own_dataset_dir / "references" / "r0.png").write_bytes(b"no picture")
    ((record, _),) = run_bench(replace(plan, dataset=str(own_dataset_dir)), Screen())
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
    ((record, _),) = run_bench(replace(plan, dataset="copydays"), Screen())
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
    ((record, _),) = run_bench(replace(plan, dataset="disc"), Screen())
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
