"""Embedding through the store: what is there is not embedded again, and what is missing is, in chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact, bundle_artifact
from bench.descriptors import fill as embedding
from bench.descriptors.fill import EmbedPlan, fill, store_of
from bench.descriptors.store import DescriptorStore
from bench.records.record import RuntimeInfo
from devices.base import CompletedRun, Device
from devices.host import HostDevice
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import dataset_source
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import GateError

RUNTIME = RuntimeInfo(package="onnxruntime", version="1", accelerator="cpu")


class CountingDevice(HostDevice):
    """The host, with the number of embed passes that were asked of it."""

    num_embeds = 0

    def run(
        self, script: str, arguments: list[str], timeout_s: float, on_line: Callable[[str], None] | None = None
    ) -> CompletedRun:
        request = json.loads(self._path(arguments[0]).read_text())
        self.num_embeds += request["mode"] == "embed"
        return super().run(script, arguments, timeout_s, on_line)


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    with CountingDevice() as device:
        yield device


def filled(
    device: Device, artifact: Artifact, dataset: Dataset, folder: Path, shard_size: int = 128
) -> DescriptorStore:
    source = dataset_source(dataset)
    store = store_of(folder / "stores", "host", artifact.info, RUNTIME, source)
    store = DescriptorStore(store.folder, store.key.model_copy(update={"shard_size": shard_size}))
    remote.push_artifact(device, artifact)
    plan = EmbedPlan(folder / "stores", folder / "pixels", num_threads=1)
    fill(store, device, artifact, source, plan, lambda _done, _all: None, lambda _done, _all: None)
    return store


def test_second_time_nothing_is_embedded(
    device: CountingDevice, bundle_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    artifact, dataset = bundle_artifact(bundle_dir), read_dataset(dataset_dir)
    first = np.array(filled(device, artifact, dataset, tmp_path).descriptors())
    assert device.num_embeds == 1
    assert np.array_equal(filled(device, artifact, dataset, tmp_path).descriptors(), first)
    assert device.num_embeds == 1


def test_only_chunks_with_a_missing_shard_are_embedded(
    device: CountingDevice, bundle_dir: Path, dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, dataset = bundle_artifact(bundle_dir), read_dataset(dataset_dir)
    whole = np.array(filled(device, artifact, dataset, tmp_path / "whole").descriptors())
    monkeypatch.setattr(embedding, "CHUNK_SIZE", 4)
    monkeypatch.setattr(DescriptorStore, "finish", lambda _self: None)
    device.num_embeds = 0
    store = filled(device, artifact, dataset, tmp_path, shard_size=2)  # six shards of two, three chunks of two shards
    assert device.num_embeds == 3
    (store.folder / "00002.npy").unlink()
    filled(device, artifact, dataset, tmp_path, shard_size=2)
    assert device.num_embeds == 4
    monkeypatch.undo()
    store.finish()
    assert np.array_equal(store.descriptors(), whole)


def test_unreadable_images_are_kept_as_nan_with_their_reason(
    device: CountingDevice, bundle_dir: Path, own_dataset_dir: Path, tmp_path: Path
) -> None:
    (own_dataset_dir / "references" / "r2.png").write_bytes(b"no picture")
    store = filled(device, bundle_artifact(bundle_dir), read_dataset(own_dataset_dir), tmp_path)
    assert [(skipped.row, skipped.image) for skipped in store.skipped()] == [(7, "references/r2.png")]
    assert np.flatnonzero(np.isnan(store.descriptors()).any(axis=1)).tolist() == [7]


def test_descriptor_that_is_not_of_unit_length_is_refused_with_its_image(
    device: CountingDevice, scripted_artifact: Callable[[str], Artifact], dataset_dir: Path, tmp_path: Path
) -> None:
    text = """
import numpy as np
PACKAGE = "numpy"
class Session:
    def feed(self, pixels): pass
    def invoke(self): pass
    def read(self): return np.full(192, 1.0, dtype=np.float32)
def load(path, num_threads): return Session()
"""
    with pytest.raises(GateError, match=r"queries/q0\.png has length 13\.86 where 1 is needed \(11 such of 11\)"):
        filled(device, scripted_artifact(text), read_dataset(dataset_dir), tmp_path)
