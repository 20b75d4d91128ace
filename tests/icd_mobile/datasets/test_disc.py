"""DISC 2021: trees of the official shapes, splits, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError
from icd_mobile.retrieval.accuracy import Compared, judge

REFERENCES = ("R000000", "R000007", "R050000", "R999999")
TRAINING = ("T000001", "T050000")
QUERIES = ("Q00000", "Q00001", "Q24999", "Q25000", "Q49999", "Q50000")  # the last is of the final phase
PUBLIC = "query_id,reference_id\nQ00000,R000007\nQ00001,\nQ24999,R999999\n"
DEV = "Q00000,R000007\nQ00001,\nQ24999,R999999\nQ25000,R050000\nQ49999,\n"  # without a header, as Meta gives it out
SHAPES = {
    "archives": (
        "refs_50k_{}/images",
        "train_50k_{}/images",
        "dev_queries_50k_0/images",
        "dev_queries_groundtruth.csv",
    ),
    "one folder": ("images", "images", "images", "dev_queries_groundtruth.csv"),
    "bucket": ("reference_images", "training_images", "query_images", "public_ground_truth.csv"),
    "starter code": ("images/references", "images/train", "images/queries", "list_files/public_ground_truth.csv"),
    "SSCD": ("val_ref", "training", "val_query", "val_groundtruth_matches.csv"),
}


def make_tree(folder: Path, shape: str = "archives") -> Path:
    """A few images of each kind; returns the ground truth."""
    *places, truth = SHAPES[shape]
    for place, names in zip(places, (REFERENCES, TRAINING, QUERIES), strict=True):
        for name in names:
            path = folder / place.format(int(name[1:]) // 50_000) / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            colours = np.random.default_rng(int(name[1:])).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(colours).resize((16, 12)).save(path)
    (folder / truth).parent.mkdir(exist_ok=True)
    (folder / truth).write_text(PUBLIC if "public" in truth else DEV)
    return folder / truth


@pytest.mark.parametrize("shape", SHAPES)
def test_every_official_shape_is_read(shape: str, tmp_path: Path) -> None:
    truth = make_tree(tmp_path / "disc", shape)
    dataset = read_dataset(tmp_path / "disc")
    num_judged = 3 if "public" in truth.name else 5
    assert [path.stem for path in dataset.queries] == list(QUERIES[:num_judged])
    assert [path.stem for path in dataset.references] == list(REFERENCES)
    assert [path.stem for path in dataset.training] == list(TRAINING)
    assert dataset.pairs.tolist() == ([[0, 1], [2, 3]] if num_judged == 3 else [[0, 1], [2, 3], [3, 2]])
    assert dataset.name == f"disc/{truth.name}, partial"
    assert all(path.is_file() for path in dataset.images)


def test_descriptors_are_judged_to_the_last_digit(tmp_path: Path) -> None:
    make_tree(tmp_path / "disc", "archives")
    dataset = read_dataset(tmp_path / "disc")
    # Each row is the scores of a query with the four references, which are the axes. Q00000 finds R000007 at 0.8 after
    # Q00001's negative at 1; Q24999 has R999999 at 0.6, below a negative at 0.8; Q25000 has R050000 at 0, last of all.
    queries = [(0.6, 0.8, 0, 0), (1, 0, 0, 0), (0.8, 0, 0, 0.6), (0, 0, 0, 1), (0, 1, 0, 0)]
    descriptors = np.array([*queries, *np.eye(4), (1, 0, 0, 0), (0, 1, 0, 0)], dtype=np.float32)
    found = judge(descriptors, dataset, (), Compared(None, None, "no teacher"))
    # 20 candidates: negatives at 1, 1, 1 (Q00001, Q25000, Q49999), then at 0.8 a negative and the first match: 1 of 5.
    # At 0.6 a negative and the second: 2 of 7. Thirteen at 0, the match last: 3 of 20.
    assert found.micro_ap == pytest.approx((1 / 5 + 2 / 7 + 3 / 20) / 3, abs=1e-15)
    assert (found.num_queries, found.num_references, found.num_positives) == (5, 4, 3)
    assert found.copydays is None


def test_two_splits_in_one_tree_must_be_told_apart(tmp_path: Path) -> None:
    make_tree(tmp_path, "archives")
    public = tmp_path / "list_files" / "public_ground_truth.csv"
    public.parent.mkdir()
    public.write_text(PUBLIC)
    with pytest.raises(InputError, match=r"each a split of DISC; name one: --dataset .*dev_queries_groundtruth\.csv"):
        read_dataset(tmp_path)
    assert len(read_dataset(public).queries) == 3
    assert len(read_dataset(tmp_path / "dev_queries_groundtruth.csv").queries) == 5


def test_name_is_that_of_the_folder_also_from_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path / "disc")
    monkeypatch.chdir(tmp_path / "disc")
    assert read_dataset(Path()).name == "disc/dev_queries_groundtruth.csv, partial"


def test_pairs_alone_leave_the_other_queries_without_a_match(tmp_path: Path) -> None:
    make_tree(tmp_path).write_text("Q00000,R000007\n")
    dataset = read_dataset(tmp_path)
    assert (len(dataset.queries), dataset.pairs.tolist()) == (5, [[0, 1]])


def test_identity_is_the_same_in_every_shape_and_place_and_follows_ids_sizes_and_pairs(tmp_path: Path) -> None:
    for shape in ("archives", "SSCD"):
        make_tree(tmp_path / shape, shape)
    dataset = read_dataset(tmp_path / "archives")
    assert read_dataset(tmp_path / "SSCD").sha256 == dataset.sha256
    with Path(dataset.references[0]).open("ab") as file:
        file.write(b" ")
    larger = read_dataset(tmp_path / "archives").sha256
    dataset.training[0].unlink()
    fewer = read_dataset(tmp_path / "archives").sha256
    (tmp_path / "archives" / "dev_queries_groundtruth.csv").write_text(DEV.replace("R050000", "R000000"))
    other_pairs = read_dataset(tmp_path / "archives").sha256
    assert len({dataset.sha256, larger, fewer, other_pairs}) == 4


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    make_tree(tmp_path / "disc", "bucket")
    (tmp_path / "disc" / "reference_images").rename(tmp_path / "elsewhere")
    (tmp_path / "disc" / "references").symlink_to(tmp_path / "elsewhere")
    assert len(read_dataset(tmp_path / "disc").references) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PUBLIC.replace("R000007", "R000008"), "lacks 1 of the images that .* names: R000008; see what else"),
        (PUBLIC.replace("Q00000", "Q00002"), "lacks 1 of the images that .* names: Q00002;"),
        (PUBLIC + "".join(f"Q0001{n},\n" for n in range(9)), "lacks 9 .*: Q00010, Q00011, Q00012 and 6 more;"),
        (PUBLIC + "Q25000,R050000\n", r"row 5: 'Q25000' is not one of Q00000\.\.Q24999"),
        (PUBLIC.replace("R000007", "r7"), r"row 2: 'r7' is not one of R000000\.\.R999999"),
        (PUBLIC.replace("R000007", "T000001"), r"row 2: 'T000001' is not one of R000000\.\.R999999"),
        (PUBLIC.replace("query_id,reference_id", "query,reference"), "row 1: needs the header"),
    ],
)
def test_ground_truth_that_does_not_fit_is_named_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    make_tree(tmp_path, "bucket").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_dataset(tmp_path)
    assert str(tmp_path / "public_ground_truth.csv") in str(error.value)


def test_query_that_the_ground_truth_should_name_is_named(tmp_path: Path) -> None:
    make_tree(tmp_path, "bucket").write_text("query_id,reference_id\nQ00000,R000007\nQ00001,\n")
    with pytest.raises(InputError, match=r"does not name Q24999; get the whole file"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("extra/photo.jpg", r"photo\.jpg is not named as in DISC"),
        ("extra/R0000001.jpg", r"R0000001\.jpg is not named as in DISC"),
        ("extra/R000001.png", r"R000001\.png is not named as in DISC"),
        ("extra/R000007.jpg", r"R000007\.jpg is also in "),
    ],
)
def test_image_out_of_place_is_named(name: str, message: str, tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "extra").mkdir()
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        read_dataset(tmp_path)


def test_file_of_another_name_is_no_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(PUBLIC)
    with pytest.raises(InputError, match=r"pairs\.csv is no ground truth of DISC; known are dev_queries"):
        read_dataset(tmp_path / "pairs.csv")
