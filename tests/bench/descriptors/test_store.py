"""The store of descriptors: resumed to the same bytes, reused only for the same key, and safe to fill twice at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.descriptors import store as descriptor_store
from bench.descriptors.store import DescriptorStore, StoreKey, open_store
from bench.records.record import RuntimeInfo
from icd_mobile.datasets.skipped import Skipped, read_skipped, write_skipped
from icd_mobile.errors import InputError

NUM_IMAGES, NUM_DIMS, SHARD_SIZE = 23, 4, 5
SKIPPED = {7: "truncated", 22: "not an image"}


def make_key(**changes: object) -> StoreKey:
    key = {
        "device": "host",
        "artifact": "tiny-onnx-fp32",
        "model_sha256": "a" * 64,
        "dataset": "tiny",
        "dataset_sha256": "b" * 64,
        "input_size_px": 64,
        "num_dims": NUM_DIMS,
        "num_images": NUM_IMAGES,
        "shard_size": SHARD_SIZE,
        "pillow_version": "12.0.0",
        "runtime": RuntimeInfo(package="onnxruntime", version="1.2.3", accelerator="cpu"),
    }
    return StoreKey.model_validate(key | changes)


def expected_rows() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((NUM_IMAGES, NUM_DIMS)).astype(np.float32)
    rows[list(SKIPPED)] = np.nan
    return rows


def fill(store: DescriptorStore, shard: int) -> None:
    rows = store.rows(shard)
    skipped = [
        Skipped(row, f"queries/{row}.jpg", SKIPPED[row]) for row in range(rows.start, rows.stop) if row in SKIPPED
    ]
    store.write_shard(shard, expected_rows()[rows], skipped)


def files_of(store: DescriptorStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


def filled(root: Path) -> DescriptorStore:
    store = open_store(root, make_key())
    for shard in store.missing():
        fill(store, shard)
    store.finish()
    return store


def test_shards_become_one_file_and_a_list_of_the_skipped(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert sorted(files_of(store)) == ["descriptors.npy", "skipped.csv", "store.json"]
    np.testing.assert_array_equal(store.descriptors(), expected_rows())
    assert store.skipped() == tuple(Skipped(row, f"queries/{row}.jpg", reason) for row, reason in SKIPPED.items())
    assert store.missing() == ()
    with pytest.raises(ValueError, match="read-only"):
        store.descriptors()[0] = 0
    assert np.load(store.folder / "descriptors.npy").dtype == np.float32


def test_last_shard_is_short() -> None:
    store = DescriptorStore(Path("nowhere"), make_key())
    assert store.num_shards == 5
    assert [store.rows(shard) for shard in (0, 4)] == [slice(0, 5), slice(20, 23)]


@given(order=st.permutations(range(5)), num_before=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_any_order_and_any_interrupt_give_the_same_bytes(
    order: list[int], num_before: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("stores")
    for shard in order[:num_before]:
        fill(open_store(root, make_key()), shard)
    (open_store(root, make_key()).folder / ".00001.npy.0123.tmp").write_bytes(b"left by a kill")
    store = open_store(root, make_key())
    assert set(store.missing()) == set(order[num_before:])
    assert files_of(filled(root)) == files_of(filled(tmp_path_factory.mktemp("stores")))


def test_unfinished_store_is_not_read(tmp_path: Path) -> None:
    store = open_store(tmp_path, make_key())
    fill(store, 1)
    assert [row.row for row in store.skipped()] == [7]
    for read in (store.descriptors, store.finish):
        with pytest.raises(InputError, match="run the command that fills it again"):
            read()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"PK\x03\x04 not an archive", None])
def test_damaged_shard_is_missing(tmp_path: Path, damage: bytes | None) -> None:
    store = open_store(tmp_path, make_key())
    for shard in (0, 1):
        fill(store, shard)
    path = store.folder / "00001.npy"
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert store.missing() == (1, 2, 3, 4)


def test_damaged_result_is_begun_anew(tmp_path: Path) -> None:
    store = filled(tmp_path)
    path = store.folder / "descriptors.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.missing() == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"device": "phone"},
        {"artifact": "other"},
        {"model_sha256": "c" * 64},
        {"dataset": "other"},
        {"dataset_sha256": "d" * 64},
        {"input_size_px": 65},
        {"num_dims": 5},
        {"num_images": 24},
        {"shard_size": 6},
        {"pillow_version": "12.0.1"},
        {"runtime": None},
        {"runtime": RuntimeInfo(package="onnxruntime", version="1.2.4", accelerator="cpu")},
    ],
)
def test_other_key_is_another_store(tmp_path: Path, change: dict[str, object]) -> None:
    filled(tmp_path)
    store = open_store(tmp_path, make_key(**change))
    assert len(store.missing()) == store.num_shards
    assert open_store(tmp_path, make_key()).is_finished


def test_folder_names_the_device_and_the_dataset() -> None:
    device, whole, dataset = make_key().folder_name.split("-")
    assert (device, len(whole), dataset) == ("host", 12, "b" * 12)


def test_store_with_another_key_inside_is_begun_anew(tmp_path: Path) -> None:
    store = filled(tmp_path)
    path = store.folder / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pillow_version": "1"}))
    store = open_store(tmp_path, make_key())
    assert list(files_of(store)) == ["store.json"]
    assert StoreKey.model_validate_json(path.read_text()) == make_key()


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path, make_key())
    rows = expected_rows()
    for values, skipped in ((rows[:4], ()), (rows[:5, :3], ()), (rows[5:10], ()), (rows[:5], [Skipped(0, "a", "b")])):
        with pytest.raises(ValueError, match="shard 1 needs"):
            store.write_shard(1, values, skipped)
    assert len(store.missing()) == 5


def _fill_all(root: Path, shards: list[int]) -> None:
    store = open_store(root, make_key())
    for shard in shards:
        fill(store, shard)
    if not store.missing():
        store.finish()


def test_processes_that_fill_it_at_once_leave_the_same_bytes(tmp_path: Path) -> None:
    expected = files_of(filled(tmp_path / "alone"))
    context = get_context("fork")
    orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] * 2
    processes = [context.Process(target=_fill_all, args=(tmp_path / "shared", order)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(orders)
    store = open_store(tmp_path / "shared", make_key())
    store.finish()
    assert files_of(store) == expected


def test_shard_that_comes_after_another_process_has_finished_changes_nothing(tmp_path: Path) -> None:
    late = open_store(tmp_path, make_key())
    expected = files_of(filled(tmp_path))
    fill(late, 1)
    late.finish()
    assert files_of(late) == expected


@pytest.mark.parametrize("step", ["read_skipped", "np.load"])
def test_finish_that_loses_the_race_keeps_what_the_winner_wrote(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The winner merges and removes the shards while the loser is between its own reads."""
    expected = files_of(filled(tmp_path / "alone"))
    loser = open_store(tmp_path, make_key())
    for shard in loser.missing():
        fill(loser, shard)
    owner, name = (descriptor_store, step) if step == "read_skipped" else (np, "load")
    original: Callable[..., object] = getattr(owner, name)

    def read(*words: object, **named: object) -> object:
        monkeypatch.setattr(owner, name, original)
        open_store(tmp_path, make_key()).finish()
        return original(*words, **named)

    monkeypatch.setattr(owner, name, read)
    loser.finish()
    assert files_of(loser) == expected


def test_store_deleted_meanwhile_is_one_line(tmp_path: Path) -> None:
    store = open_store(tmp_path, make_key())
    (store.folder / "store.json").unlink()
    store.folder.rmdir()
    with pytest.raises(InputError, match="was deleted meanwhile; run the same command again"):
        fill(store, 0)


def test_reason_is_one_short_line_and_any_name_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "skipped.csv"
    write_skipped(path, [Skipped(3, 'a,"b"\udce4.jpg', "two\nlines " + 300 * "x")])
    assert read_skipped(path) == (Skipped(3, 'a,"b"\\udce4.jpg', "two lines " + 190 * "x"),)
    path.write_text("row,image,reason\nthree,a,b\n")
    with pytest.raises(InputError, match="is damaged"):
        read_skipped(path)
