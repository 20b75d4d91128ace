"""The same shards embedded with Ray Data, on this computer or on a cluster.

Only shard numbers and file names travel: each actor reads the images, and writes the shard, where the dataset, the
bundle and the store are, so that on a cluster all three must lie on storage that every machine has under the same path.

Source: Ray Data's user guide, "Offline batch inference".
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.descriptors.shard import Embedding, ShardEmbedder, ShardTask
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.extras import require

MAX_ATTEMPTS = 3  # at a shard: Ray starts a dead actor anew for ever, and one shard may kill each of them
CONNECT_LIMIT_S = 10.0
LOOPBACK = "127.0.0.1"
Row = dict[str, Any]


class _Actor:
    """A loaded artifact as Ray Data calls it: a row for a shard in, and what became of it out.

    An error of a known kind travels in the row: Ray would wrap it in a traceback.
    """

    def __init__(self, embedding: Embedding) -> None:
        self._folder = embedding.store.folder
        self._embedder: ShardEmbedder | InputError
        try:
            self._embedder = ShardEmbedder(embedding)
        except InputError as error:
            self._embedder = error

    def __call__(self, row: Row) -> Row:
        task = ShardTask(row["shard"], tuple(row["images"]))
        try:
            if isinstance(self._embedder, InputError):
                raise self._embedder
            _count_attempt(self._folder, task.shard)
            self._embedder.embed(task)
        except (InputError, OSError) as error:
            return {"num_images": 0, "error": error}
        return {"num_images": len(task.images), "error": None}


def _count_attempt(folder: Path, shard: int) -> None:
    path = folder / f".{shard:05d}.attempts.tmp"
    with path.open("ab") as file:
        file.write(b".")
    if path.stat().st_size > MAX_ATTEMPTS:
        raise OutsideError(
            f"shard {shard} ended its actor {MAX_ATTEMPTS} times, perhaps for want of memory; finished shards are "
            "kept: run the same command again with fewer --workers"
        )


def _knock(address: str | None) -> None:
    """Whether anyone listens at HOST:PORT or ray://HOST:PORT: Ray itself tries for many minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_LIMIT_S).close()


@contextmanager
def ray_cluster(address: str | None) -> Iterator[int]:
    """Join the cluster at `address` or RAY_ADDRESS, or start Ray here; gives its number of CPUs.

    Raises:
        OutsideError: Ray is not installed, or no cluster answers there.
    """
    require("ray")
    import ray

    address = address or os.environ.get("RAY_ADDRESS") or None
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of what Ray Data itself does
    try:
        _knock(address)
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:  # "local": with no address Ray would look for a cluster that was once started here, and wait for it
            ray.init(address="local", _node_ip_address=LOOPBACK, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise OutsideError(
            f"no Ray cluster at {address} ({_first_line(error)}); start one: ray start --head"
        ) from error
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield int(resources.get("CPU", 1))
    finally:
        ray.shutdown()


def embed_with_ray(
    embedding: Embedding, tasks: Iterable[ShardTask], *, num_workers: int, on_image: Callable[[], None]
) -> None:
    """Embed every task with at most `num_workers` actors of one CPU each; inside `ray_cluster`.

    Raises:
        OutsideError: actors died again and again, or the runtime is not installed on a machine.
        GateError: the artifact does not run.
        OSError: a shard cannot be written.
    """
    import ray
    import ray.data
    import ray.exceptions

    for path in embedding.store.folder.glob(".*.attempts.tmp"):
        path.unlink()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    actor: Any = _Actor  # Ray's types know functions only
    rows = [{"shard": task.shard, "images": list(task.images)} for task in tasks]
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        actor,
        fn_constructor_args=(embedding,),
        compute=ray.data.ActorPoolStrategy(size=min(num_workers, len(rows))),
        num_cpus=1,
    )
    try:
        for row in done.iter_rows():
            if row["error"] is not None:
                raise row["error"]
            for _ in range(row["num_images"]):
                on_image()
    except ray.exceptions.RayError as error:
        raise OutsideError(
            f"Ray gave up ({_first_line(error)}); finished shards are kept: run the same command again"
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
