"""A bundle that was calibrated on images of the test is said to be, wherever its figures stand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.artifacts.artifact import Artifact
from bench.records.record import Record
from bench.report.report import render_markdown
from bench.run.calibration_overlap import NOT_RECORDED, find_calibration_overlap, with_overlap
from export.bundle.manifest import CalibrationImage
from export.calibration.images import read_image
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.retrieval.result import CalibrationOverlap

NewRecord = Callable[..., Record]


def seen(path: Path) -> CalibrationImage:
    return read_image(path.name, path.read_bytes()).info


def small_jpeg(path: Path) -> CalibrationImage:
    content = io.BytesIO()
    Image.open(path).convert("RGB").resize((48, 48)).save(content, "JPEG", quality=60)
    return read_image("mine.jpg", content.getvalue()).info


@pytest.fixture
def dataset(own_dataset_dir: Path) -> Dataset:
    """With a query without a match that has as much detail as a photograph."""
    procedural_picture(4, (96, 72)).save(own_dataset_dir / "queries" / "q4.png")
    return read_dataset(own_dataset_dir)


@pytest.fixture
def calibrated(dataset: Dataset) -> tuple[CalibrationImage, ...]:
    """Of the images of a calibration one is a reference, one a small copy of the query without a match."""
    return (seen(dataset.folder / "references" / "r4.png"), small_jpeg(dataset.folder / "queries" / "q4.png"))


def test_images_of_the_test_are_found_by_bytes_and_by_look(
    calibrated: tuple[CalibrationImage, ...], dataset: Dataset, tmp_path: Path
) -> None:
    assert find_calibration_overlap(calibrated, dataset, tmp_path / "pixels") == (
        CalibrationOverlap(image="mine.jpg", other="queries/q4.png", how="looks the same"),
        CalibrationOverlap(image="r4.png", other="references/r4.png", how="same bytes"),
    )


def test_a_dataset_is_looked_through_once(
    calibrated: tuple[CalibrationImage, ...], dataset: Dataset, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    first = find_calibration_overlap(calibrated, dataset, tmp_path, lambda *step: steps.append(step))
    assert steps == [(11, 11)]
    again = find_calibration_overlap(calibrated, dataset, tmp_path, lambda *step: steps.append(step))
    assert (again, len(steps)) == (first, 1)


def test_training_images_are_not_judged_and_may_calibrate(
    calibrated: tuple[CalibrationImage, ...], dataset: Dataset, tmp_path: Path
) -> None:
    (dataset.folder / "training").mkdir()
    (dataset.folder / "references" / "r4.png").rename(dataset.folder / "training" / "t.png")
    found = find_calibration_overlap(calibrated, read_dataset(dataset.folder), tmp_path)
    assert [one.other for one in found] == ["queries/q4.png"]


def test_without_calibration_images_nothing_is_looked_through(dataset_dir: Path, tmp_path: Path) -> None:
    assert find_calibration_overlap((), read_dataset(dataset_dir), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_report_says_so_beside_the_figures(new_record: NewRecord) -> None:
    accuracy = new_record().accuracy
    assert accuracy is not None
    overlap = tuple(CalibrationOverlap(image=f"{n}.jpg", other=f"r{n}.png", how="same bytes") for n in range(5))
    record = new_record(accuracy=accuracy.model_copy(update={"calibration_overlap": overlap}))
    text = render_markdown([record])
    assert "CALIBRATED ON IMAGES OF THIS TEST, which flatters it: 0.jpg = r0.png (same bytes), " in text
    assert "and 2 more; calibrate on others" in text


def test_of_an_int8_bundle_that_does_not_name_its_images_nothing_can_be_said(
    new_record: NewRecord, scripted_artifact: Callable[[str], Artifact]
) -> None:
    accuracy, artifact = new_record().accuracy, scripted_artifact("")
    assert accuracy is not None
    assert with_overlap(accuracy, artifact, ()) == accuracy
    int8 = replace(artifact, info=artifact.info.model_copy(update={"precision": "int8"}))
    silent = new_record(accuracy=with_overlap(accuracy, int8, ()))
    assert f"whether an artifact was calibrated on images of this test: {NOT_RECORDED}" in render_markdown([silent])
    assert with_overlap(accuracy, replace(int8, calibration=()), ()) == accuracy
