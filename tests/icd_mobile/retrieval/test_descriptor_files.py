"""Descriptors in HDF5: parts, submissions, and what is refused with its file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from icd_mobile.errors import InputError
from icd_mobile.retrieval import descriptor_files
from icd_mobile.retrieval.descriptor_files import read_descriptors, write_descriptors, write_submission


def unit_rows(num_rows: int, num_dims: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, num_dims)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(letter: str, num_rows: int, first: int = 0) -> list[str]:
    return [f"{letter}{index:05d}" for index in range(first, first + num_rows)]


def test_part_reads_back_and_is_memory_mapped(tmp_path: Path) -> None:
    rows = unit_rows(5)
    write_descriptors(tmp_path / "r.h5", rows, names("R", 5))
    found = read_descriptors([tmp_path / "r.h5"], "reference")
    assert isinstance(found.parts[0].vectors, np.memmap)
    assert (len(found), found.num_dims, found.ids.tolist()) == (5, 8, names("R", 5))
    assert np.array_equal(np.concatenate(list(found.blocks())), rows)


def test_parts_follow_each_other_and_rows_are_named_in_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_files, "BLOCK_BYTES", 2 * 8 * 4)  # two rows a block
    rows = unit_rows(8)
    write_descriptors(tmp_path / "a.h5", rows[:5], names("R", 5))
    write_descriptors(tmp_path / "b.h5", rows[5:], names("R", 3, first=5))
    found = read_descriptors([tmp_path / "a.h5", tmp_path / "b.h5"], "reference")
    assert [len(block) for block in found.blocks()] == [2, 2, 1, 2, 1]
    assert np.array_equal(np.concatenate(list(found.blocks())), rows)
    assert found.where(6) == f"{tmp_path / 'b.h5'} row 1 ('R00006')"
    assert np.array_equal(found.row(6), rows[6])


def test_submission_is_written_sorted_and_each_side_is_read(tmp_path: Path) -> None:
    queries, references = unit_rows(3), unit_rows(4, seed=1)
    path = tmp_path / "s.h5"
    write_submission(path, queries, ["Q2", "Q0", "Q1"], references, names("R", 4))
    found = read_descriptors([path], "query")
    assert found.ids.tolist() == ["Q0", "Q1", "Q2"]
    assert np.array_equal(next(found.blocks()), queries[[1, 2, 0]])
    assert np.array_equal(next(read_descriptors([path], "reference").blocks()), references)


def test_paths_of_images_stand_for_their_names_as_isc2021_writes_them(tmp_path: Path) -> None:
    """Its script writes the path of each image below the folder; a block of Copydays before an id is not a path."""
    given = ["queries/Q00000.jpg", "a/b/Q00001.JPEG", "strong/200001", "Q00002"]
    write_descriptors(tmp_path / "q.h5", unit_rows(4), given)
    found = read_descriptors([tmp_path / "q.h5"], "query")
    assert found.ids.tolist() == ["Q00000", "Q00001", "strong/200001", "Q00002"]


@pytest.mark.parametrize("options", [{"chunks": (2, 8)}, {"compression": "gzip"}, {"dtype": "f8"}])
def test_values_that_do_not_lie_in_one_piece_as_float32_are_read_too(
    options: dict[str, object], tmp_path: Path
) -> None:
    rows = unit_rows(5)
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file.create_dataset("vectors", data=rows, **options)
        file.create_dataset("image_names", data=names("R", 5))  # of variable length
    found = read_descriptors([tmp_path / "r.h5"], "reference")
    assert np.array_equal(next(found.blocks()), rows)
    assert found.ids.tolist() == names("R", 5)


def broken(change: Callable[[np.ndarray], object]) -> np.ndarray:
    rows = unit_rows(5)
    change(rows)
    return rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"vectors": broken(lambda rows: rows.__setitem__((3, 0), np.nan))}, "row 3 ('R00003') is not finite; embed"),
        ({"vectors": broken(lambda rows: rows.__setitem__((3, 0), np.inf))}, "row 3 ('R00003') is not finite"),
        ({"vectors": broken(lambda rows: rows.__imul__(1.01))}, "row 0 ('R00000') has length 1.01 where 1 is needed"),
        ({"vectors": unit_rows(4)}, "needs floats (N, D) and 'image_names' N ids, got float32 (4, 8) and (5,)"),
        ({"vectors": np.ones((5, 8), dtype=np.int32)}, "needs floats"),
        ({"vectors": unit_rows(5)[0]}, "needs floats"),
        ({"vectors": np.zeros((0, 8), np.float32), "image_names": np.zeros(0, "S1")}, "needs floats"),
        ({"image_names": ["R0", "R1", "R2", "R1", "R4"]}, "row 3 ('R1') has the id of"),
        ({"image_names": np.arange(5)}, "'image_names' needs strings, got int64"),
        ({"image_names": None}, "has no 'image_names', only vectors"),
        ({"vectors": None}, "has no 'reference', only image_names"),
    ],
)
def test_bad_part_is_named(content: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with h5py.File(path, "w") as file:
        for name, data in ({"vectors": unit_rows(5), "image_names": names("R", 5)} | content).items():
            if data is not None:
                file.create_dataset(name, data=data)
    with pytest.raises(InputError) as error:
        read_descriptors([path], "reference")
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parts_of_other_dimensions_are_refused(tmp_path: Path) -> None:
    write_descriptors(tmp_path / "a.h5", unit_rows(2, 8), names("R", 2))
    write_descriptors(tmp_path / "b.h5", unit_rows(2, 16), names("R", 2, first=2))
    with pytest.raises(InputError, match=r"b\.h5 has 16 dimensions, .*a\.h5 8"):
        read_descriptors([tmp_path / "a.h5", tmp_path / "b.h5"], "reference")


def test_submission_with_unsorted_ids_or_too_many_dimensions_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("query", data=unit_rows(3))
        file.create_dataset("query_ids", data=["Q0", "Q2", "Q1"])
    with pytest.raises(InputError, match=r"s\.h5 row 2: 'Q1' comes after 'Q2'"):
        read_descriptors([tmp_path / "s.h5"], "query")
    write_submission(tmp_path / "w.h5", unit_rows(2, 257), ["Q0", "Q1"], unit_rows(2, 257), ["R0", "R1"])
    with pytest.raises(InputError, match="257 dimensions; a submission has at most 256"):
        read_descriptors([tmp_path / "w.h5"], "query")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_file_cut_short_anywhere_is_one_line(share: float, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_descriptors(path, unit_rows(200, 64), names("R", 200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError) as error:
        read_descriptors([path], "reference")
    assert f"{path} is not HDF5 or is cut short" in str(error.value)
    assert "\n" not in str(error.value)


def test_flipped_bytes_are_one_line_or_read(tmp_path: Path) -> None:
    """Not every flip can be seen, but none may end in another kind of error."""
    path = tmp_path / "r.h5"
    write_descriptors(path, unit_rows(20), names("R", 20))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    num_refused = 0
    for _ in range(300):
        flipped = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            flipped[at] = rng.integers(0, 256)
        path.write_bytes(flipped)
        try:
            read_descriptors([path], "reference")
        except InputError as error:
            num_refused += 1
            assert "\n" not in str(error)
    assert num_refused > 50


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*absent\.h5"):
        read_descriptors([tmp_path / "absent.h5"], "query")
