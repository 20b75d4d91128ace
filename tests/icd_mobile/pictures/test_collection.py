"""A folder and a tar are the same collection; what cannot be used is left out, counted and listed, up to 5 %."""

from __future__ import annotations

import csv
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.collection import open_photos


def _make(folder: Path, num_photos: int, num_corrupt: int = 0) -> Path:
    """Pictures 00.png, 01.png, ..., half of them in a subfolder, then files that do not decode."""
    (folder / "more").mkdir(parents=True)
    for seed in range(num_photos):
        name = f"{seed:02d}.png" if seed % 2 else f"more/{seed:02d}.png"
        procedural_picture(seed, (12, 10)).save(folder / name)
    for index in range(num_corrupt):
        (folder / f"corrupt-{index}.jpg").write_bytes(b"no image")
    return folder


def _tar(folder: Path, name: str = "photos.tar", mode: str = "w") -> Path:
    """A tar whose order is not that of the names, and whose names begin with ./"""
    path = folder.parent / name
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in sorted(folder.rglob("*.*"), reverse=True):
            archive.add(member, f"./{member.relative_to(folder)}")
    return path


def test_a_tar_is_the_same_collection_as_its_folder(tmp_path: Path) -> None:
    folder = _make(tmp_path / "photos", 6)
    of_folder, of_tar = open_photos(folder).photos, open_photos(_tar(folder)).photos
    assert [file.name for file in of_folder.files] == [file.name for file in of_tar.files]
    assert of_folder.sha256 == of_tar.sha256
    for index in range(6):
        assert np.array_equal(of_folder[index], of_tar[index])


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = _make(tmp_path / "photos", 3)
    first = open_photos(folder).photos.sha256
    (folder / "01.png").rename(folder / "renamed.png")
    renamed = open_photos(folder).photos.sha256
    procedural_picture(9, (12, 10)).save(folder / "renamed.png")
    assert len({first, renamed, open_photos(folder).photos.sha256}) == 3


def test_duplicates_and_corrupt_files_are_left_out_and_listed(tmp_path: Path) -> None:
    folder = _make(tmp_path / "photos", 30, num_corrupt=1)
    shutil.copy(folder / "01.png", folder / "zz.png")
    opened = open_photos(folder, tmp_path / "run" / "skipped.csv")
    assert (len(opened.photos), opened.num_files, opened.num_corrupt, opened.num_duplicates) == (30, 32, 1, 1)
    assert "zz.png" not in [file.name for file in opened.photos.files]
    rows = list(csv.reader((tmp_path / "run" / "skipped.csv").open()))
    assert rows[0] == ["name", "reason"]
    assert rows[1][0] == "corrupt-0.jpg"
    assert rows[1][1].startswith("not an image")
    assert rows[2] == ["zz.png", "the same file as 01.png"]


def test_nothing_is_written_where_nothing_is_left_out(tmp_path: Path) -> None:
    open_photos(_make(tmp_path / "photos", 2), tmp_path / "skipped.csv")
    assert not (tmp_path / "skipped.csv").exists()


def test_a_twentieth_of_corrupt_files_passes_and_more_stops(tmp_path: Path) -> None:
    """1 of 20 is 5 %; 2 of 39 is 5.1 %."""
    assert open_photos(_make(tmp_path / "passes", 19, num_corrupt=1)).num_corrupt == 1
    with pytest.raises(
        InputError, match=r"2 of 39 images in .* do not decode, more than 5%; they are listed in .*s.csv"
    ):
        open_photos(_make(tmp_path / "stops", 37, num_corrupt=2), tmp_path / "s.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 3


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image file"):
        open_photos(tmp_path)


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    path = _tar(_make(tmp_path / "photos", 2), "photos.tar.gz", "w:gz")
    with pytest.raises(InputError, match="compressed tar, which cannot be read by index"):
        open_photos(path)


def test_a_photograph_that_goes_away_is_named(tmp_path: Path) -> None:
    folder = _make(tmp_path / "photos", 2)
    photos = open_photos(folder).photos
    (folder / photos.files[1].name).unlink()
    with pytest.raises(InputError, match=rf"{photos.files[1].name} in .* changed while it was in use"):
        photos[1]


def test_a_collection_travels_to_a_spawned_worker(tmp_path: Path) -> None:
    photos = open_photos(_tar(_make(tmp_path / "photos", 2))).photos
    assert np.array_equal(pickle.loads(pickle.dumps(photos))[1], photos[1])
