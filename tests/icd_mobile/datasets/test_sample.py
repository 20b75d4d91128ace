"""The embedded sample as a dataset, made small for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_mobile.datasets import sample
from icd_mobile.datasets.csv_files import read_csv
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.own_layout import EDITS_NAME
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.sample import build_sample
from icd_mobile.datasets.sample_pictures import judged_photos
from icd_mobile.pictures.edits import EDITS


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = judged_photos()[:2]
    monkeypatch.setattr(sample, "judged_photos", lambda: photos)
    monkeypatch.setattr(sample, "NUM_DISTRACTORS", 3)
    monkeypatch.setattr(sample, "NUM_BACKGROUNDS", 2)
    monkeypatch.setattr(sample, "EDITS", {name: EDITS[name] for name in ("crop", "overlay")})
    monkeypatch.setattr(sample, "CHAIN_LENGTHS", (2, 3, 3))


def build(folder: Path) -> Dataset:
    return read_dataset(build_sample(folder))


@pytest.mark.usefixtures("small_sample")
def test_sample_has_photos_distractors_and_unmatched_queries(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    # 2 photographs x (2 edits + 3 chains) = 10 queries with a match, two fifths as many without.
    assert (len(dataset.references), len(dataset.queries), len(dataset.pairs)) == (2 + 3, 10 + 4, 10)
    matched = {dataset.references[reference].stem for reference in dataset.pairs[:, 1]}
    assert len(matched) == 2
    assert all(name.startswith("photo-") for name in matched)


@pytest.mark.usefixtures("small_sample")
def test_sample_names_the_edits_of_each_query(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    edits = [row["edits"] for row in read_csv(dataset.folder / EDITS_NAME, ("query_id", "edits"))]
    assert edits[:2] == ["crop", "overlay"]
    assert [text.count(" + ") for text in edits[2:5]] == [1, 2, 2]
    assert len(edits) == 14


@pytest.mark.usefixtures("small_sample")
def test_sample_is_the_same_each_time(tmp_path: Path) -> None:
    assert build(tmp_path / "a").sha256 == build(tmp_path / "b").sha256


@pytest.mark.usefixtures("small_sample")
def test_sample_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tmp_path)
    monkeypatch.setattr(sample, "judged_photos", lambda: pytest.fail("made again"))
    assert build(tmp_path).sha256 == first.sha256


@pytest.mark.usefixtures("small_sample")
def test_interrupted_sample_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_sample(tmp_path, stop)
    assert list(tmp_path.iterdir()) == []
