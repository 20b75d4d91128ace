"""What the commit before the new layout wrote is read, and gone on with: `data/`, which `make.py` made with its code.

`data/expected.json` has the numbers of the making. Everything runs in a copy, with what is packed unpacked.
"""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.descriptors.embed import EmbedPlan, embed
from bench.descriptors.screen import EmbedScreen
from bench.descriptors.store import DescriptorStore, StoreKey, open_store
from bench.records.compatibility import read_compatibility
from bench.records.examples import read_examples
from bench.records.record import Record
from bench.records.record_files import read_record, read_records
from bench.report.report import write_reports
from bench.run.calibration_overlap import find_calibration_overlap
from distill.augmentations.views import ViewKey
from distill.comparison.compare import compare, recipe_configs
from distill.students.checkpoint import load_checkpoint
from distill.students.describe import describe_pixels
from distill.teacher_cache.key import read_key, read_names
from distill.teacher_cache.make import build_cache, cache_key
from distill.teacher_cache.views import CachedViews
from distill.teachers import open_teacher
from distill.training.metrics_log import read_metrics
from distill.training.run_folder import open_run
from distill.training.start_run import go_on
from distill.training.training_state import read_state
from export.bundle.bundle import check_files, read_manifest
from export.bundle.verify import verify_bundle
from export.quantization.search_state import SearchState, search_key
from icd_mobile.datasets.csv_files import read_csv
from icd_mobile.datasets.ground_truth import read_ground_truth
from icd_mobile.datasets.made.make import make_dataset
from icd_mobile.datasets.made.plan import Settings
from icd_mobile.datasets.pixel_files import dataset_source, pixel_chunk
from icd_mobile.datasets.read import read_dataset
from icd_mobile.download import download
from icd_mobile.pictures.collection import open_photos
from icd_mobile.pictures.preprocessing import read_rgb, to_pixels
from icd_mobile.retrieval.accuracy import Compared, judge
from icd_mobile.retrieval.challenge_csv import read_predictions
from icd_mobile.retrieval.descriptor_files import read_descriptors

DATA = Path(__file__).parent / "data"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
INT8, TINY = "efficientnet_lite0-onnx-int8", "tiny-onnx-fp32"
SIZE_PX, GRID = 64, 8


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data, unpacked, as the working folder."""
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    for packed in folder.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record_of(name: str) -> Record:
    (path,) = Path("records").glob(f"{name}--*.record.json")
    return read_record(path)


def store_in(folder: Path) -> DescriptorStore:
    """The store that is there, opened by the key that its file names."""
    (found,) = folder.glob("*/store.json")
    store = open_store(folder, StoreKey.model_validate_json(found.read_bytes()))
    assert store.folder == found.parent, "the name of the folder is made of the key"
    return store


def means_around_zero(path: Path) -> np.ndarray[Any, Any]:
    """What the tiny model does, by hand: 8 x 8 means of each colour less 127.5, at unit length."""
    cells = to_pixels(read_rgb(path), SIZE_PX).reshape(GRID, SIZE_PX // GRID, GRID, SIZE_PX // GRID, 3)
    means = cells.mean(axis=(1, 3)).transpose(2, 0, 1).ravel() - 127.5
    return np.asarray(means / np.linalg.norm(means))


@pytest.mark.parametrize("name", ["head", "whole"])
def test_a_checkpoint_gives_the_same_student(name: str) -> None:
    loaded = load_checkpoint(Path(f"checkpoints/{name}.safetensors"))
    assert loaded.card.trunk_inside == (name == "whole")
    assert (loaded.card.student, loaded.card.descriptor_dim, loaded.card.input_size_px) == (
        "efficientnet_lite0",
        64,
        64,
    )
    assert loaded.weights_sha256 == EXPECTED["checkpoints"][name]["weights_sha256"]
    pixels = to_pixels(read_rgb(Path("photos/000.jpg")), SIZE_PX)[None]
    described = describe_pixels(loaded.model, pixels, torch.device("cpu"))[0]
    np.testing.assert_allclose(described[:4], EXPECTED["checkpoints"][name]["descriptor"], atol=1e-3)


def test_a_whitened_teacher_opens() -> None:
    teacher = open_teacher("checkpoints/white.safetensors")
    assert (teacher.descriptor_dim, teacher.input_size_px) == (8, 192)
    assert {"name": teacher.name, "weights_sha256": teacher.weights_sha256} == EXPECTED["white"]


@pytest.mark.parametrize(("name", "num_golden"), [(TINY, 1), (INT8, 2)])
def test_a_bundle_is_whole_and_gives_its_golden_descriptors(name: str, num_golden: int) -> None:
    verified = verify_bundle(Path("bundles") / name)
    assert (verified.num_golden, verified.evidence) == (num_golden, "measured")
    assert verified.cosine_min is not None
    assert verified.cosine_min > 0.99


def test_a_manifest_says_how_int8_was_made_and_which_threshold_was_measured() -> None:
    int8, tiny = (read_manifest(Path("bundles") / name) for name in (INT8, TINY))
    check_files(Path("bundles") / INT8, int8)
    calibration, search = int8.quantization.calibration, int8.quantization.search
    assert calibration is not None and calibration.images is not None and search is not None
    assert [image.name for image in calibration.images] == ["100.jpg", "101.jpg", "102.jpg", "103.jpg"]
    assert search.validation.sha256 == tiny.accuracy.dataset_sha256 == EXPECTED["dataset_sha256"]
    assert (search.validation.num_queries, search.max_drop) == (9, 0.05)
    assert int8.structure is not None and int8.structure[0].backend == "NNAPI"
    assert int8.student.weights_sha256 == EXPECTED["checkpoints"]["whole"]["weights_sha256"]
    accuracy = record_of(TINY).accuracy
    assert accuracy is not None
    assert tiny.accuracy.threshold_at_p90 == accuracy.threshold_at_p90 is not None


@pytest.mark.parametrize("version", [1, 2])
def test_records_and_manifests_of_an_older_schema_are_read(version: int) -> None:
    (record,) = read_records(Path(f"older/records-{version}"))
    assert record.accuracy is not None
    assert record.accuracy.micro_ap == EXPECTED["micro_ap"][INT8]
    assert (record.stability is None) == ("stability" in record.not_measured) == (version == 1)
    manifest = read_manifest(Path(f"older/bundle-{version}"))
    assert (manifest.name, manifest.schema_version, manifest.structure) == (INT8, version, None)


def test_a_report_is_made_of_records_matrix_and_examples() -> None:
    (path,) = Path("records").glob("*.compatibility.json")
    matrix = read_compatibility(path)
    own = {cell.index: cell.micro_ap for cell in matrix.cells if cell.index == cell.queries}
    assert {member.name: own[member.model_sha256] for member in matrix.members} == EXPECTED["micro_ap"]
    examples = read_examples(Path("records"), EXPECTED["dataset_sha256"])
    assert examples is not None and len(examples.pairs) == 5
    (report,) = write_reports(Path("records"), Path("reports"))
    assert examples.pairs[0].query_jpeg in report.html_path.read_text()
    assert report.compatibility_path is not None


def test_a_finished_store_is_taken_over_and_its_descriptors_are_the_pictures() -> None:
    before, store = contents(Path("descriptors")), store_in(Path("descriptors"))
    dataset = read_dataset(Path("set"))
    assert dataset.sha256 == store.key.dataset_sha256 == EXPECTED["dataset_sha256"]
    assert (store.is_finished, store.missing()) == (True, ())
    assert [(row.row, row.image) for row in store.skipped()] == [(32, "training/broken.jpg")]
    np.testing.assert_allclose(store.descriptors()[9], means_around_zero(dataset.references[0]), atol=2e-3)
    found = judge(np.array(store.descriptors()), dataset, (32,), Compared(None, None, "a test"))
    assert found.micro_ap == pytest.approx(EXPECTED["micro_ap"][TINY])
    assert contents(Path("descriptors")) == before


def test_nothing_is_embedded_again_with_the_same_pillow_and_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import version

    runtime = store_in(Path("descriptors")).key.runtime
    assert runtime is not None
    if runtime.version != version("onnxruntime"):
        pytest.skip(f"the descriptors are of onnxruntime {runtime.version}: another one rightly embeds anew")
    monkeypatch.setattr("PIL.__version__", EXPECTED["pillow"])
    plan = EmbedPlan([Path("bundles") / TINY], "none", "set", Path("datasets"), Path("descriptors"), num_workers=1)
    with EmbedScreen() as screen:
        _, (done,) = embed(plan, screen)
    assert (done.num_shards, done.num_images, len(done.skipped)) == (0, 0, 1)


def test_a_partly_filled_store_lacks_the_same_shards_and_is_finished_to_the_same_bytes() -> None:
    whole, partly = store_in(Path("descriptors")), store_in(Path("descriptors-partly"))
    assert (partly.is_finished, partly.missing()) == (False, (1, 3))
    for shard in partly.missing():
        partly.write_shard(shard, np.array(whole.descriptors()[partly.rows(shard)]))
    partly.finish()
    assert partly.skipped() == whole.skipped()
    assert (partly.folder / "descriptors.npy").read_bytes() == (whole.folder / "descriptors.npy").read_bytes()


def test_pixels_and_looks_are_read_and_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.__version__", EXPECTED["pillow"])
    before, dataset = contents(Path("pixels")), read_dataset(Path("set"))
    with pixel_chunk(
        dataset_source(dataset), range(33), SIZE_PX, Path("pixels"), lambda *_: pytest.fail("made")
    ) as file:
        assert list(file.unreadable) == [32]
        kept = np.load(file.path)[9].astype(int)
    assert np.abs(kept - to_pixels(read_rgb(dataset.references[0]), SIZE_PX)).max() <= 2
    calibration = read_manifest(Path("bundles") / INT8).quantization.calibration
    assert calibration is not None and calibration.images is not None
    assert find_calibration_overlap(calibration.images, dataset, Path("pixels"), lambda *_: pytest.fail("made")) == ()
    assert contents(Path("pixels")) == before
    columns = ("calibration_image", "benchmark", "benchmark_image", "how")
    listed = read_csv(Path("overlap/calibration-overlap.csv"), columns)
    assert ("R000000.jpg", "set", "references/R000000.jpg", "same bytes") in [tuple(row.values()) for row in listed]


def test_the_challenge_s_files_hold_the_store_s_descriptors() -> None:
    store = store_in(Path("descriptors"))
    queries, references, training = (
        read_descriptors([Path("hdf5") / TINY / f"{name}.h5"], side)
        for name, side in (("queries", "query"), ("references", "reference"), ("training", "reference"))
    )  # fmt: skip
    rows = np.concatenate([np.concatenate(list(side.blocks())) for side in (queries, references, training)])
    assert np.array_equal(rows, store.descriptors()[:32]), "the broken image is left out"
    assert (queries.ids[0], references.ids[-1]) == ("Q00000", "R000013")
    truth = read_ground_truth(Path("challenge/truth.csv"))
    found = read_predictions(Path("challenge/predictions.csv"), truth)
    assert (found.num_queries, len(found.pairs), len(found.candidates.scores)) == (9, 5, 27)
    assert ("Q00000", "R000013") in truth.pairs
    assert min(abs(found.candidates.scores - rows[0] @ rows[9 + 13])) < 1e-6


def test_a_dataset_is_made_again_from_its_photographs_as_its_manifest_says() -> None:
    old = json.loads(Path("set/manifest.json").read_text())
    make_dataset(Path("photos"), Path("again"), old["seed"], Settings(strength="easy", size_px=SIZE_PX))
    new = json.loads(Path("again/manifest.json").read_text())
    assert new | {"tools": None} == old | {"tools": None}
    for name in ("ground_truth.csv", "edits.csv"):
        assert Path("again", name).read_bytes() == Path("set", name).read_bytes()


def test_a_search_goes_on_from_its_findings() -> None:
    calibration = read_manifest(Path("bundles") / INT8).quantization.calibration
    assert calibration is not None
    weights, data = EXPECTED["checkpoints"]["whole"]["weights_sha256"], EXPECTED["dataset_sha256"]
    key = search_key(weights, calibration.sha256, data, str(SIZE_PX), EXPECTED["versions"])
    state = SearchState(Path("bundles/efficientnet_lite0.int8-search.json"), key)
    assert state.num_reused >= 8
    found = state.get("micro-AP of fp32", lambda: pytest.fail("was found already"))
    assert found == EXPECTED["micro_ap"]["efficientnet_lite0-pytorch-fp32"]


def test_a_teacher_cache_is_kept_and_only_a_missing_shard_is_made() -> None:
    photos, teacher = open_photos(Path("few")).photos, open_teacher("student:default")
    key = cache_key(photos, "copy", 0, 2, 32, teacher, photos_per_shard=3)
    assert read_key(Path("cache")) == key.model_copy(update={"teacher_size_px": None}), "it was not kept then"
    assert read_names(Path("cache"), key) == [f"{seed}.jpg" for seed in range(200, 209)]
    before, kept = contents(Path("cache")), CachedViews(Path("cache"), 2, seed=0)[ViewKey(0, 4)]
    build_cache(Path("cache"), photos, teacher, key)
    assert contents(Path("cache")) == before, "a whole cache is not made again"
    Path("cache/shard-00001.npy").unlink()
    marks = {number: Path(f"cache/shard-0000{number}.npy").stat().st_mtime_ns for number in (0, 2)}
    build_cache(Path("cache"), photos, teacher, key)
    assert {number: Path(f"cache/shard-0000{number}.npy").stat().st_mtime_ns for number in marks} == marks
    made = CachedViews(Path("cache"), 2, seed=0)[ViewKey(0, 4)]
    assert made.teacher_descriptors is not None and kept.teacher_descriptors is not None
    assert np.abs(made.views.astype(int) - kept.views).mean() < 1
    np.testing.assert_allclose(made.teacher_descriptors, kept.teacher_descriptors, atol=0.02)


def test_an_interrupted_run_goes_on_from_its_state() -> None:
    folder, config = open_run(Path("run"))
    assert (config.name, config.epochs, config.losses[1].settings) == ("tiny", 2, {"bank_size": 8})
    assert read_state(folder.state_path)["step"] == 3
    before = read_metrics(folder.metrics_path)
    assert (len(before), before[2]["loss"]) == (3, float(EXPECTED["loss"]))
    assert go_on(folder.path, None, []).trained.num_steps == 6
    after = read_metrics(folder.metrics_path)
    assert after[:3] == before
    assert [row["step"] for row in after] == [1, 2, 3, 4, 5, 6]
    assert load_checkpoint(folder.student_path).card.data == "9 images: pictures drawn by code"


def test_a_comparison_takes_over_the_runs_that_are_judged() -> None:
    before, seconds = contents(Path("comparison")), []
    configs = recipe_configs(["one.yaml", "two.yaml"], "few", [])
    rows = compare(configs, "set", 1, Path("comparison"), lambda run: seconds.append(run.seconds))
    assert {row.recipe for row in rows} == {"one.yaml", "two.yaml"}
    assert {row.num_views for row in rows} == {18}, "3 steps of 3 images in 2 views"
    assert contents(Path("comparison")) == before


def test_a_download_s_recorded_hash_still_guards_its_file() -> None:
    from icd_mobile.errors import InputError

    words = ("https://example.org/weights.bin", Path("downloads/weights.bin"))
    assert download(*words, what="weights") == Path("downloads/weights.bin.sha256").read_text().split()[0]
    words[1].write_bytes(b"others")
    with pytest.raises(InputError, match="as recorded in weights"):
        download(*words, what="weights")
