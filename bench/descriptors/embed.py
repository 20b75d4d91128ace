"""The descriptors of whole datasets: each artifact over every image, on disk, by several processes or machines.

What was finished before is kept: only the shards that are missing are embedded.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from bench.artifacts import remote
from bench.artifacts.artifact import Artifact, baseline_artifact, bundle_artifact, find_bundles
from bench.artifacts.reference_artifacts import NO_BASELINE
from bench.descriptors.screen import EmbedScreen
from bench.descriptors.shard import THREADS_PER_WORKER, Embedding, ShardTask
from bench.descriptors.store import SHARD_SIZE, DescriptorStore, open_store, store_key
from bench.records.record import RuntimeInfo
from devices.base import open_device
from icd_mobile.datasets.dataset import Dataset
from icd_mobile.datasets.pixel_files import dataset_source
from icd_mobile.datasets.prepared import SAMPLE, dataset_place
from icd_mobile.datasets.read import read_dataset
from icd_mobile.datasets.skipped import Skipped
from icd_mobile.errors import OutsideError

Engine = Literal["local", "ray"]


class EmbedTasks(Protocol):
    """An engine with its number of workers."""

    def __call__(self, embedding: Embedding, tasks: Iterable[ShardTask], *, on_image: Callable[[], None]) -> None:
        """Embed every task; `on_image` hears of each image."""


@dataclass(frozen=True)
class EmbedPlan:
    """What to embed, and with what; `num_workers` None for one a core."""

    bundles: list[Path]
    baseline: str
    dataset: str
    datasets_dir: Path
    out: Path
    engine: Engine = "local"
    address: str | None = None
    num_workers: int | None = None
    shard_size: int = SHARD_SIZE


@dataclass(frozen=True)
class Embedded:
    """An artifact's finished store, and how much of it this run has embedded, in how many seconds."""

    store: DescriptorStore
    num_shards: int
    num_images: int
    seconds: float
    skipped: tuple[Skipped, ...]

    @property
    def images_per_s(self) -> float | None:
        """Over all workers, their start included; None where all was there before."""
        return self.num_images / self.seconds if self.num_images else None


def embed(plan: EmbedPlan, screen: EmbedScreen) -> tuple[Dataset, list[Embedded]]:
    """Embed the dataset with each artifact that runs on this computer; those that do not are warned of.

    Raises:
        InputError: no bundle, a damaged one, or a dataset that cannot be read.
        OutsideError: no artifact runs here, a runtime or Ray is missing, or a worker process was ended.
        GateError: an artifact does not run, or is not the one that was exported.
        OSError: a file cannot be written.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    artifacts = [bundle_artifact(bundle) for bundle in find_bundles(plan.bundles)]
    for artifact in artifacts:
        if artifact.runtime_path is None:
            screen.warn(f"{artifact.info.name} is left out: {artifact.not_measured}")
    with _baseline(plan) as baseline:
        jobs = [*baseline, *(artifact for artifact in artifacts if artifact.runtime_path is not None)]
        if not jobs:
            raise OutsideError(f"{artifacts[0].info.name}: {artifacts[0].not_measured}; export another target")
        dataset = _open_dataset(plan, screen)
        with _engine(plan) as embed_tasks:
            return dataset, [_embed_one(plan, artifact, dataset, embed_tasks, screen) for artifact in jobs]


@contextmanager
def _baseline(plan: EmbedPlan) -> Iterator[list[Artifact]]:
    """The student itself, where it is wanted, in a file that is there as long as this is open."""
    if plan.baseline == NO_BASELINE:
        yield []
        return
    every_machine_sees = plan.out if plan.engine == "ray" else None
    with tempfile.TemporaryDirectory(dir=every_machine_sees, prefix=".baseline-") as folder:
        yield [baseline_artifact(plan.baseline, Path(folder))]


def _open_dataset(plan: EmbedPlan, screen: EmbedScreen) -> Dataset:
    if plan.dataset == SAMPLE:
        screen.note("making the sample, where it is not there yet")
    place = dataset_place(plan.dataset, plan.datasets_dir)
    screen.note(f"reading {place}")
    return read_dataset(place.absolute())


@contextmanager
def _engine(plan: EmbedPlan) -> Iterator[EmbedTasks]:
    if plan.engine == "ray":
        from bench.descriptors.ray import embed_with_ray, ray_cluster

        with ray_cluster(plan.address) as num_cpus:
            yield partial(embed_with_ray, num_workers=min(plan.num_workers or num_cpus, num_cpus))
    else:
        from bench.descriptors.local import embed_locally

        yield partial(embed_locally, num_workers=plan.num_workers or num_usable_cores())


def num_usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _embed_one(
    plan: EmbedPlan, artifact: Artifact, dataset: Dataset, embed_tasks: EmbedTasks, screen: EmbedScreen
) -> Embedded:
    device, runtime = _host_and_runtime(artifact)
    store = open_store(plan.out, store_key(artifact.info, dataset_source(dataset), device, runtime, plan.shard_size))
    missing = store.missing()
    tasks = (_task(store, shard, dataset) for shard in missing)  # the names of millions of images are not held
    num_images = sum(store.rows(shard).stop - store.rows(shard).start for shard in missing)
    screen.begin(artifact.info.name, len(dataset.images) - num_images, len(dataset.images))
    start = time.monotonic()
    if missing:
        embed_tasks(_embedding(store, artifact, dataset), tasks, on_image=screen.on_image)
    seconds = time.monotonic() - start
    store.finish()
    return Embedded(store, len(missing), num_images, seconds, store.skipped())


def _host_and_runtime(artifact: Artifact) -> tuple[str, RuntimeInfo]:
    """This device's name, and the runtime as a process of its own found it: `python -m bench run` asks alike."""
    with open_device("host") as host:
        remote.push_artifact(host, artifact)
        _, runtime = remote.cold_start(host, artifact, THREADS_PER_WORKER)
        return host.facts().name, runtime


def _task(store: DescriptorStore, shard: int, dataset: Dataset) -> ShardTask:
    images = dataset.images[store.rows(shard)]
    return ShardTask(shard, tuple(path.relative_to(dataset.folder).as_posix() for path in images))


def _embedding(store: DescriptorStore, artifact: Artifact, dataset: Dataset) -> Embedding:
    assert artifact.runtime_path is not None  # artifacts without one are left out
    return Embedding(
        store=replace(store, folder=store.folder.absolute()),
        model_path=artifact.model_path.absolute(),
        runtime_path=artifact.runtime_path.absolute(),
        install=artifact.install,
        dataset_dir=dataset.folder,
    )
