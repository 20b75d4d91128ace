"""The Ray engine, with Ray started here: the bytes of the local engine, and one line for what goes wrong."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.artifacts.artifact import Artifact, bundle_artifact
from bench.descriptors.local import embed_locally
from bench.descriptors.ray import embed_with_ray, ray_cluster
from bench.descriptors.shard import Embedding, ShardTask
from bench.descriptors.store import DescriptorStore, open_store, store_key
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import dataset_source
from icd_mobile.datasets.read import read_dataset
from icd_mobile.errors import GateError, OutsideError

NUM_IMAGES, SHARD_SIZE = 11, 4


@pytest.fixture(scope="module")
def num_cpus() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_cluster(None) as count:
            yield count


def embedding(root: Path, artifact: Artifact, dataset: Dataset) -> Embedding:
    store = open_store(root, store_key(artifact.info, dataset_source(dataset), "host", None, SHARD_SIZE))
    assert artifact.runtime_path is not None
    return Embedding(store, artifact.model_path, artifact.runtime_path, "pip install x", dataset.folder)


def tasks(store: DescriptorStore, dataset: Dataset) -> list[ShardTask]:
    names = [path.relative_to(dataset.folder).as_posix() for path in dataset.images]
    return [ShardTask(shard, tuple(names[store.rows(shard)])) for shard in store.missing()]


def test_ray_gives_the_bytes_of_local_processes(
    num_cpus: int, own_dataset_dir: Path, bundle_dir: Path, tmp_path: Path
) -> None:
    (own_dataset_dir / "references" / "r5.png").write_bytes(b"not a picture")
    artifact, dataset = bundle_artifact(bundle_dir), read_dataset(own_dataset_dir)
    contents = []
    for name, engine in (("local", embed_locally), ("ray", embed_with_ray)):
        wanted = embedding(tmp_path / name, artifact, dataset)
        images: list[int] = []
        engine(wanted, tasks(wanted.store, dataset), num_workers=min(2, num_cpus), on_image=partial(images.append, 1))
        assert len(images) == NUM_IMAGES
        wanted.store.finish()
        assert [row.image for row in wanted.store.skipped()] == ["references/r5.png"]
        contents.append({path.name: path.read_bytes() for path in wanted.store.folder.iterdir()})
    assert contents[0] == contents[1]


def test_error_of_an_actor_keeps_its_kind(
    num_cpus: int, dataset_dir: Path, scripted_artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    assert num_cpus
    broken = scripted_artifact("def load(path, num_threads):\n    raise RuntimeError('no such op: Foo')\n")
    wanted = embedding(tmp_path / "out", broken, read_dataset(dataset_dir))
    with pytest.raises(GateError, match=r"tiny-onnx-fp32 does not run \(RuntimeError: no such op: Foo\)"):
        embed_with_ray(wanted, tasks(wanted.store, read_dataset(dataset_dir)), num_workers=1, on_image=lambda: None)


def test_shard_that_kills_its_actors_ends_the_run(
    num_cpus: int, dataset_dir: Path, scripted_artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    """Ray itself would start them anew for ever."""
    assert num_cpus
    deadly = scripted_artifact(
        "import os, signal\nclass Session:\n    def feed(self, pixels):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "def load(path, num_threads):\n    return Session()\n"
    )
    wanted = embedding(tmp_path / "out", deadly, read_dataset(dataset_dir))
    with pytest.raises(OutsideError, match="ended its actor 3 times"):
        embed_with_ray(wanted, tasks(wanted.store, read_dataset(dataset_dir))[:1], num_workers=1, on_image=lambda: None)


def test_missing_ray_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OutsideError, match=r"pip install 'icd-mobile\[ray\]'"), ray_cluster(None):
        pass


def test_address_where_nobody_listens_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for given in (address, f"ray://{address}"):
        with pytest.raises(OutsideError, match=f"no Ray cluster at {given} .*Connection refused"), ray_cluster(given):
            pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(OutsideError, match=f"no Ray cluster at {address}"), ray_cluster(None):
        pass
