"""Reading a dataset folder, and its pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import InputError


def test_pairs_are_indexes_into_sorted_queries_and_references(dataset_dir: Path) -> None:
    dataset = read_dataset(dataset_dir)
    assert [path.stem for path in dataset.queries] == ["q0", "q1", "q2", "q3", "q4"]
    assert len(dataset.references) == 6
    assert dataset.pairs.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_hash_follows_the_content_and_not_the_place(own_dataset_dir: Path, dataset_dir: Path) -> None:
    assert read_dataset(own_dataset_dir).sha256 == read_dataset(dataset_dir).sha256
    (own_dataset_dir / "references" / "r5.png").write_bytes((own_dataset_dir / "references" / "r4.png").read_bytes())
    assert read_dataset(own_dataset_dir).sha256 != read_dataset(dataset_dir).sha256


@pytest.mark.parametrize("part", ["references", "queries", "ground_truth.csv"])
def test_missing_part_is_named(own_dataset_dir: Path, part: str) -> None:
    (own_dataset_dir / part).rename(own_dataset_dir / "elsewhere")
    with pytest.raises(InputError, match=f"has no {part}"):
        read_dataset(own_dataset_dir)


def test_folder_without_images_is_named(own_dataset_dir: Path) -> None:
    for path in (own_dataset_dir / "queries").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no images in .*queries"):
        read_dataset(own_dataset_dir)


def test_two_files_with_one_id_are_refused(own_dataset_dir: Path) -> None:
    queries = own_dataset_dir / "queries"
    (queries / "q0.jpg").write_bytes((queries / "q0.png").read_bytes())
    with pytest.raises(InputError, match="share the id 'q0'"):
        read_dataset(own_dataset_dir)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("query,reference\nq0,r0\n", "needs the header 'query_id,reference_id'"),
        ("", "needs the header"),
        ("query_id,reference_id\nq0,r0\nq9,r0\n", "row 3: no query 'q9'"),
        ("query_id,reference_id\nq0,r77\n", "row 2: no reference 'r77'"),
        ("query_id,reference_id\nq0,r0\nq9,\n", "row 3: no query 'q9'"),
        ("query_id,reference_id\nq0,r0\nq1,\n", "not 'q2' of queries/, nor 2 others"),
        ("query_id,reference_id\nq0\n", "row 2: needs 2 columns, got 1"),
        ("query_id,reference_id\nq0,r0,extra\n", "row 2: needs 2 columns, got 3"),
        ("query_id,reference_id\nq0,\n", "names no matching pair"),
        ("query_id,reference_id\nq0,r0\nq1,r1\nq0,r0\n", "row 4: query 'q0' contradicts or repeats row 2"),
        ("query_id,reference_id\nq0,r0\nq0,\n", "row 3: query 'q0' contradicts or repeats row 2"),
        ('query_id,reference_id\n"q0,r0\n', "row 2: unexpected end of data"),
    ],
)
def test_bad_ground_truth_names_file_and_row(own_dataset_dir: Path, text: str, problem: str) -> None:
    (own_dataset_dir / "ground_truth.csv").write_text(text)
    with pytest.raises(InputError, match=f"ground_truth.csv.*{problem}"):
        read_dataset(own_dataset_dir)


def test_ground_truth_in_another_encoding_is_named(own_dataset_dir: Path) -> None:
    (own_dataset_dir / "ground_truth.csv").write_bytes("query_id,reference_id\nqé,r0\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"ground_truth\.csv row 2: is not UTF-8"):
        read_dataset(own_dataset_dir)


def test_edits_are_read_with_the_dataset_and_refused_with_another_header(own_dataset_dir: Path) -> None:
    assert read_dataset(own_dataset_dir).edits == {}
    (own_dataset_dir / "edits.csv").write_text("query_id,edits\nq0,crop\n")
    assert read_dataset(own_dataset_dir).edits == {"q0": "crop"}
    (own_dataset_dir / "edits.csv").write_text("query,edit\nq0,crop\n")
    with pytest.raises(InputError, match=r"edits\.csv needs the header 'query_id,edits'"):
        read_dataset(own_dataset_dir)


def test_byte_order_mark_and_windows_line_ends_are_fine(own_dataset_dir: Path) -> None:
    (own_dataset_dir / "ground_truth.csv").write_bytes(b"\xef\xbb\xbfquery_id,reference_id\r\nq0,r0\r\n")
    assert read_dataset(own_dataset_dir).pairs.tolist() == [[0, 0]]
