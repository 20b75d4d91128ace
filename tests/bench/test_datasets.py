"""Reading a dataset folder, and its pixels."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import pixels_of, read_dataset
from distill.errors import InputError
from distill.preprocessing import read_rgb, to_pixels


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
        ("query_id,reference_id\nq0\n", "row 2 does not have 2 columns"),
        ("query_id,reference_id\nq0,r0,extra\n", "row 2 does not have 2 columns"),
        ("query_id,reference_id\nq0,\n", "names no matching pair"),
        ("query_id,reference_id\nq0,r0\nq1,r1\nq0,r0\n", "row 4 repeats the pair q0,r0 of row 2"),
        ('query_id,reference_id\n"q0,r0\n', "is not a CSV in UTF-8"),
    ],
)
def test_bad_ground_truth_names_file_and_row(own_dataset_dir: Path, text: str, problem: str) -> None:
    (own_dataset_dir / "ground_truth.csv").write_text(text)
    with pytest.raises(InputError, match=f"ground_truth.csv.*{problem}"):
        read_dataset(own_dataset_dir)


def test_ground_truth_in_another_encoding_is_named(own_dataset_dir: Path) -> None:
    (own_dataset_dir / "ground_truth.csv").write_bytes("query_id,reference_id\nqé,r0\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"ground_truth\.csv is not a CSV in UTF-8"):
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


def test_pixels_are_those_of_the_preprocessing_in_order(dataset_dir: Path, tmp_path: Path) -> None:
    dataset = read_dataset(dataset_dir)
    seen: list[tuple[int, int]] = []
    pixels = pixels_of(dataset, 32, tmp_path, lambda done, total: seen.append((done, total)))
    array = np.load(pixels.path)
    assert array.shape == (11, 32, 32, 3)
    assert np.array_equal(array[5], to_pixels(read_rgb(dataset.references[0]), 32))
    assert seen[-1] == (11, 11)
    assert pixels.unreadable == ()


def test_pixels_are_made_once_for_a_content_and_size(dataset_dir: Path, tmp_path: Path) -> None:
    dataset = read_dataset(dataset_dir)
    first = pixels_of(dataset, 32, tmp_path)
    stamp = first.path.stat().st_mtime_ns
    assert pixels_of(dataset, 32, tmp_path) == first
    assert first.path.stat().st_mtime_ns == stamp
    assert pixels_of(dataset, 64, tmp_path).path != first.path


def test_pixels_of_another_pillow_are_not_taken(
    dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_dataset(dataset_dir)
    first = pixels_of(dataset, 32, tmp_path)
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert pixels_of(dataset, 32, tmp_path).path != first.path


def test_corrupt_image_is_told_and_left_black(own_dataset_dir: Path, tmp_path: Path) -> None:
    (own_dataset_dir / "references" / "r2.png").write_bytes(b"no picture")
    dataset = read_dataset(own_dataset_dir)
    for _ in range(2):  # made, then from the cache
        pixels = pixels_of(dataset, 32, tmp_path / "cache")
        assert pixels.unreadable == (7,)
        assert not np.load(pixels.path)[7].any()


def test_each_bad_image_is_named_by_its_place_and_reason(own_dataset_dir: Path, tmp_path: Path) -> None:
    references = own_dataset_dir / "references"
    whole = (references / "r0.png").read_bytes()
    (references / "r1.png").write_bytes(b"")
    (references / "r2.png").write_bytes(whole[: len(whole) // 2])
    huge = BytesIO()
    Image.new("RGB", (1, 1)).save(huge, "BMP")  # a small file that claims a huge picture: the header's width and height
    huge.getbuffer()[18:26] = struct.pack("<ii", 12_000, 12_000)
    (references / "r3.png").write_bytes(huge.getvalue())
    Image.new("CMYK", (8, 8)).save(references / "r4.png", "JPEG")  # readable, whatever the file is called
    dataset = read_dataset(own_dataset_dir)
    pixels = pixels_of(dataset, 32, tmp_path / "cache")
    assert [dataset.images[index].name for index in pixels.unreadable] == ["r1.png", "r2.png", "r3.png"]
    assert pixels.reasons[0] == "the file is empty"
    assert "truncated" in pixels.reasons[1]
    assert pixels.reasons[2] == "12000x12000 px is over 100,000,000 pixels"
    assert pixels_of(dataset, 32, tmp_path / "cache") == pixels


def test_cache_of_before_reasons_were_kept_is_read(own_dataset_dir: Path, tmp_path: Path) -> None:
    (own_dataset_dir / "references" / "r2.png").write_bytes(b"")
    dataset = read_dataset(own_dataset_dir)
    pixels_of(dataset, 32, tmp_path).path.with_suffix(".json").write_text('{"unreadable": [7]}')
    assert pixels_of(dataset, 32, tmp_path).reasons == ("cannot be read",)


def test_nothing_is_left_where_the_pixels_cannot_be_finished(dataset_dir: Path, tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pixels_of(read_dataset(dataset_dir), 32, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []
