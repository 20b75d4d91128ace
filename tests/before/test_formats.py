"""Files written before the packages moved into rooms are read as they are (tests/before/make.py made them)."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.artifacts import remote
from bench.descriptors.store import open_store, store_key
from bench.records.compatibility import read_matrices
from bench.records.examples import read_examples
from bench.records.latency import Preset
from bench.records.record import RuntimeInfo
from bench.records.record_files import read_records
from bench.report.report import write_reports
from bench.run.run import RunPlan, run_bench
from distill.augmentations.views import ViewKey
from distill.students.checkpoint import load_checkpoint
from distill.teacher_cache.make import build_cache, cache_key
from distill.teacher_cache.views import CachedViews
from distill.teachers.teacher import Network, Teacher
from distill.teachers.whitening import read_whitened
from distill.training.run_folder import open_run
from export.bundle.bundle import check_files, read_manifest
from export.quantization.search_state import SearchState
from icd_mobile.datasets.pixel_files import dataset_source
from icd_mobile.datasets.read import read_dataset
from icd_mobile.pictures.collection import open_photos
from icd_mobile.retrieval.descriptor_files import read_descriptors

DATA = Path(__file__).parent / "data"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def test_bundles_are_whole() -> None:
    for folder in sorted((DATA / "bundles").iterdir()):
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        assert (manifest.schema_version, manifest.target, manifest.student.descriptor_dim) == (3, "onnx", 192)


def test_records_and_their_matrix_make_a_report(tmp_path: Path) -> None:
    records = read_records(DATA / "records")
    assert [record.artifact.name for record in records] == ["other-onnx-fp32", "tiny-onnx-fp32"]
    for record in records:
        assert record.accuracy is not None
        assert (record.accuracy.micro_ap, record.accuracy.num_queries, record.accuracy.num_references) == (1.0, 5, 6)
        assert record.stability is not None
        assert not record.stability.ignores_colour
        examples = read_examples(DATA / "records", record.accuracy.dataset_sha256)
        assert examples is not None
        assert len(examples.pairs) == 4
    (matrix,) = read_matrices(DATA / "records")
    assert len(matrix.cells) == 4
    assert {cell.micro_ap for cell in matrix.cells} == {1.0}
    (report,) = write_reports(DATA / "records", tmp_path)
    assert report.html_path.is_file()


def test_a_finished_store_is_taken_over_and_nothing_is_embedded_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the store is the one asked for depends on Pillow and the runtime: both are those it was made with."""
    dataset = read_dataset(data / "dataset")
    record = next(record for record in read_records(data / "records") if record.artifact.name == "tiny-onnx-fp32")
    assert record.runtime is not None
    key = store_key(record.artifact, dataset_source(dataset), "host", record.runtime)
    store = open_store(data / "descriptors", key)
    if not store.is_finished or version("onnxruntime") != record.runtime.version:
        pytest.skip("made with another Pillow or onnxruntime")
    assert store.descriptors().shape == (11, 192)
    monkeypatch.setattr(remote, "embed", lambda *_: pytest.fail("embedded again"))
    plan = RunPlan(
        [data / "bundles" / "tiny-onnx-fp32"],
        dataset=str(data / "dataset"),
        datasets_dir=data / "datasets",
        stores_dir=data / "descriptors",
        preset=Preset("tiny", min_count=5, min_s=0.0005, limit_s=30.0),
        baseline="none",
        teacher="none",
        records_dir=data / "new",
    )
    ((again, _),) = run_bench(plan).records
    assert again.accuracy is not None
    assert again.accuracy.micro_ap == 1.0


def test_a_partly_filled_store_lacks_its_last_shard_alone(data: Path) -> None:
    (folder,) = (data / "partial").iterdir()
    record = next(record for record in read_records(data / "records") if record.artifact.name == "other-onnx-fp32")
    runtime = RuntimeInfo(package="onnxruntime", version="1.0", accelerator="cpu")
    key = store_key(record.artifact, dataset_source(read_dataset(data / "dataset")), "host", runtime, 4)
    store = open_store(data / "partial", key)
    if store.folder.name != folder.name:
        pytest.skip("made with another Pillow")
    assert store.missing() == (2,)


def test_a_head_of_a_packaged_trunk_is_opened() -> None:
    checkpoint = load_checkpoint(DATA / "head.safetensors")
    assert (checkpoint.card.student, checkpoint.card.descriptor_dim) == ("efficientnet_lite0", 64)
    assert checkpoint.card.recipe == "a test's"


def test_a_whitened_teacher_is_read() -> None:
    card, weight, bias = read_whitened(DATA / "whitened.safetensors")
    assert (card.teacher, card.num_images) == ("a.pth", 9)
    assert weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert bias.tolist() == [0.5, -0.5]


class Never(torch.nn.Module):
    """What is there already is not described again."""

    def __init__(self, calls_left: int) -> None:
        super().__init__()
        self.calls_left = calls_left

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert self.calls_left, "described again"
        self.calls_left -= 1
        return images.mean(dim=(2, 3)) + 1e-3


def test_a_cache_that_lost_a_shard_is_finished_to_the_same_bytes(data: Path) -> None:
    cache, lost = data / "cache", data / "cache" / "shard-00001.npy"
    expected = lost.read_bytes()
    lost.unlink()
    photos = open_photos(data / "dataset" / "references").photos
    network = Network(Never(calls_left=1), 3, 32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    teacher = Teacher("color", network, "0" * 64, "MIT", "made by a test")
    build_cache(cache, photos, teacher, cache_key(photos, "advanced", 0, 2, 32, teacher, photos_per_shard=3))
    views = CachedViews(cache, 2, 0)
    assert views[ViewKey(0, 0)].views.shape == (2, 32, 32, 3)
    again = np.load(lost)
    assert again["descriptor"] == pytest.approx(np.load(DATA / "cache" / "shard-00001.npy")["descriptor"], abs=1e-6)
    assert len(expected) == lost.stat().st_size


def test_a_made_dataset_is_read() -> None:
    dataset = read_dataset(DATA / "made")
    counts = (len(dataset.queries), len(dataset.references), len(dataset.training), len(dataset.pairs))
    assert counts == (4, 7, 5, 2)
    assert len(dataset.edits) == 4


def test_a_search_goes_on_with_what_it_had_found(data: Path) -> None:
    state = SearchState(data / "tiny.int8-search.json", "the key")
    assert state.num_reused == 2
    assert state.get("float", lambda: pytest.fail("found again")) == 0.75
    assert state.get("plan minmax", lambda: pytest.fail("found again"))["error"] == [0.5, 0.25]


def test_a_run_s_configuration_is_read() -> None:
    _, config = open_run(DATA / "run")
    assert (config.name, config.epochs, config.student.name) == ("kd_icd", 7, "efficientnet_b0")
    assert config.data.mixing is not None


def test_a_submission_of_descriptors_is_read() -> None:
    found = read_descriptors([DATA / "submission.h5"], "reference")
    assert list(found.ids) == ["R000000", "R000001", "R000002", "R000003"]
    assert np.concatenate(list(found.blocks())).tolist() == np.eye(4)[::-1].tolist()
