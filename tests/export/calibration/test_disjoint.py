"""Calibration and benchmarks that share a photograph: found by bytes and by looks, refused with the pairs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from export.bundle.manifest import CalibrationImage
from export.calibration.disjoint import MAX_NAMED, OVERLAP_NAME, check_disjoint
from export.calibration.images import read_folder
from icd_mobile.datasets.sample_pictures import calibration_photos, judged_photos, procedural_picture
from icd_mobile.errors import InputError


def pictures(folder: Path, seeds: range) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        procedural_picture(seed, (96, 72)).save(folder / f"p{seed}.png")
    return folder


def images_of(folder: Path) -> list[CalibrationImage]:
    return [one.info for one in read_folder(folder)[0]]


def test_sets_of_other_photographs_are_disjoint_and_named(tmp_path: Path) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(4)), pictures(tmp_path / "bench", range(10, 16))
    seen: list[tuple[str, int, int]] = []
    checked = check_disjoint(images_of(calibration), [benchmark], tmp_path, lambda *step: seen.append(step))
    assert checked == ("sample", "bench")
    assert seen[-1] == ("bench", 6, 6)


def test_a_file_in_both_is_refused_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(4)), pictures(tmp_path / "bench", range(10, 12))
    (benchmark / "queries").mkdir()
    (benchmark / "queries" / "q.png").write_bytes((calibration / "p2.png").read_bytes())
    with pytest.raises(
        InputError, match=r"and bench overlap, 1 image is in both: p2\.png = queries/q\.png \(same bytes\)"
    ):
        check_disjoint(images_of(calibration), [benchmark], tmp_path)


def test_a_smaller_jpeg_of_a_calibration_image_is_refused_by_its_look(tmp_path: Path) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(4)), pictures(tmp_path / "bench", range(10, 12))
    procedural_picture(3, (96, 72)).resize((64, 48)).save(benchmark / "copy.jpg", quality=40)
    with pytest.raises(InputError, match=r"p3\.png = copy\.jpg \(looks the same\); calibrate on photographs"):
        check_disjoint(images_of(calibration), [benchmark], tmp_path)


def test_of_many_pairs_the_first_are_named_and_a_file_has_them_all(tmp_path: Path) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(8)), pictures(tmp_path / "bench", range(8))
    with pytest.raises(InputError, match=r"8 images are in both: .* and 3 more, all in .*overlap\.csv") as raised:
        check_disjoint(images_of(calibration), [benchmark], tmp_path / "out")
    assert str(raised.value).count("same bytes") == MAX_NAMED
    rows = list(csv.reader((tmp_path / "out" / OVERLAP_NAME).open()))
    assert rows[0] == ["calibration_image", "benchmark", "benchmark_image", "how"]
    assert rows[1:] == [[f"p{seed}.png", "bench", f"p{seed}.png", "same bytes"] for seed in range(8)]


def test_the_embedded_sample_s_photographs_are_known_without_a_folder(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", range(2))
    judged_photos()[0].image.resize((200, 200)).save(folder / "mine.jpg")
    with pytest.raises(InputError, match=r"and sample overlap.* mine\.jpg = astronaut\.png \(looks the same\)"):
        check_disjoint(images_of(folder), [], tmp_path)


def test_the_embedded_calibration_is_disjoint_from_the_embedded_sample(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in calibration_photos():
        (folder / photo.path.name).write_bytes(photo.path.read_bytes())
    assert check_disjoint(images_of(folder), [], tmp_path) == ("sample",)


def test_an_unreadable_benchmark_image_is_compared_by_its_bytes(tmp_path: Path) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(2)), pictures(tmp_path / "bench", range(10, 11))
    (benchmark / "cut.png").write_bytes(b"\x89PNG cut")
    assert check_disjoint(images_of(calibration), [benchmark], tmp_path) == ("sample", "bench")


@pytest.mark.parametrize("kind", ["absent", "empty", "a file"])
def test_a_benchmark_that_is_no_folder_of_images_is_refused(tmp_path: Path, kind: str) -> None:
    calibration, benchmark = pictures(tmp_path / "photos", range(2)), tmp_path / "bench"
    if kind == "empty":
        benchmark.mkdir()
    elif kind == "a file":
        benchmark.write_text("")
    with pytest.raises(InputError, match=r"--disjoint-from needs a folder of images, got .*bench"):
        check_disjoint(images_of(calibration), [benchmark], tmp_path)
