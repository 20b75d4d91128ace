"""Two halves of a calibration folder: disjoint, the same every time, and judged each by its own model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.descriptors.fill import EmbedPlan
from bench.run import calibration_spread as module
from bench.run.calibration_spread import SpreadPlan, calibration_spread, split_photos
from devices.base import open_device
from distill.students.checkpoint import load_checkpoint
from export.calibration.images import read_folder
from export.plan import Outcome
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import GateError, InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures; of the first also its bytes again and a small JPEG; a blank one and a file that is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        procedural_picture(seed, (96, 72)).save(folder / f"{seed}.png")
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    procedural_picture(0, (96, 72)).resize((64, 48)).save(folder / "small.jpg", quality=60)
    Image.new("RGB", (64, 48), "red").save(folder / "blank.png")
    (folder / "cut.jpg").write_bytes(b"not an image")
    return folder


def test_halves_share_no_photograph_and_no_copy_of_one(photos: Path) -> None:
    first, second = split_photos(photos)
    assert (len(first), len(second)) == (3, 3)
    of_the_first = {"0.png", "again.png", "small.jpg"}
    names = [photo.path.name for half in (first, second) for photo in half]
    assert len(of_the_first & set(names)) == 1
    assert {name for name in names if name not in of_the_first} == {f"{seed}.png" for seed in range(1, 6)}


def test_halves_follow_from_what_the_files_hold_and_not_from_their_names(photos: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for index, path in enumerate(sorted(photos.iterdir(), reverse=True)):
        shutil.copy(path, renamed / f"{index}{path.suffix}")

    def hashes(folder: Path) -> list[list[str]]:
        return [[photo.info.sha256 for photo in half] for half in split_photos(folder)]

    assert hashes(renamed) == hashes(photos)


def test_too_few_different_photographs_are_refused(photos: Path) -> None:
    for seed in range(2, 6):
        (photos / f"{seed}.png").unlink()
    with pytest.raises(InputError, match="holds 2 different photographs, two halves need 4 at least and 64 at best"):
        split_photos(photos)
    with pytest.raises(InputError, match=r"needs a folder of photographs, got .*absent"):
        split_photos(photos / "absent")


@pytest.fixture
def plan(photos: Path, dataset_dir: Path, tiny_checkpoint: Path, tmp_path: Path) -> SpreadPlan:
    return SpreadPlan(
        checkpoint=load_checkpoint(tiny_checkpoint),
        target="onnx",
        calibration=photos,
        dataset=read_dataset(dataset_dir),
        embedding=EmbedPlan(tmp_path / "stores", tmp_path / "pixels", num_threads=1),
        out=tmp_path / "out",
    )


def test_each_half_is_exported_and_judged(plan: SpreadPlan, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The export is a copy of a bundle whose graph finds every copy of the dataset: both halves give micro-AP 1."""
    seen: list[set[str]] = []

    def export(_checkpoint: object, jobs: list[tuple[str, str]], folder: Path, out: Path, *_: object) -> list[Outcome]:
        assert jobs == [("onnx", "int8")]
        seen.append({one.info.sha256 for one in read_folder(folder)[0]})
        copy = shutil.copytree(bundle_dir, out / bundle_dir.name)
        return [Outcome("onnx", "int8", "ok", "", copy, 1, None, 0.0)]

    monkeypatch.setattr(module, "export_bundles", export)
    steps: list[str] = []
    with open_device("host") as host:
        found = calibration_spread(plan, host, steps.append)
    assert [half.accuracy.micro_ap for half in found.halves] == [1.0, 1.0]
    assert (found.micro_ap, found.evidence, [half.num_images for half in found.halves]) == (0.0, "measured", [3, 3])
    assert seen[0] & seen[1] == set()
    assert "half-1: embedding image 11 of 11" in steps


def test_photographs_of_the_dataset_are_refused_before_any_export(plan: SpreadPlan) -> None:
    shutil.copy(plan.dataset.references[0], plan.calibration / "mine.png")
    with open_device("host") as host, pytest.raises(InputError, match=r"mine\.png = references/r0\.png \(same bytes\)"):
        calibration_spread(plan, host, lambda _what: None)
    assert not plan.out.exists()


def test_a_half_that_is_not_exported_ends_it_with_the_reason(plan: SpreadPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Outcome("onnx", "int8", "failed", "ValueError: no such op", None, None, None, 0.0)
    monkeypatch.setattr(module, "export_bundles", lambda *_: [failed])
    with open_device("host") as host, pytest.raises(GateError, match="half 1 was not exported to onnx: ValueError: no"):
        calibration_spread(plan, host, lambda _what: None)
