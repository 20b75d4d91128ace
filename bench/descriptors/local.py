"""Shards embedded by processes of this computer, each with the artifact loaded once and one shard at a time in hand.

A process that dies is seen at once, by the end of its pipe; so is the death of this one by the others. What they write
on standard error is kept apart, for runtimes are talkative; of a process that dies its last line is shown.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from bench.descriptors.shard import Embedding, ShardEmbedder, ShardTask
from icd_mobile.errors import InputError, OutsideError

Message = Literal["image", "shard"] | InputError | OSError  # one more image, or shard, is done; or why none will be


@dataclass(frozen=True)
class _Worker:
    """A process, our end of its pipe, and what it writes on standard error."""

    process: BaseProcess
    pipe: Connection
    errors: Path

    def give(self, waiting: Iterator[ShardTask]) -> bool:
        """Hand the next task over; False where there is none."""
        task = next(waiting, None)
        if task is None:
            return False
        try:
            self.pipe.send(task)
        except ConnectionError as error:
            raise self._death() from error
        return True

    def receive(self) -> Message:
        """What it says next."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of a message
            raise self._death() from error
        return message

    def _death(self) -> OutsideError:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = [line.strip() for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
        why = "perhaps for want of memory" if code == -signal.SIGKILL or not lines else f"its last words '{lines[-1]}'"
        return OutsideError(
            f"a worker process ended ({how}), {why}; finished shards are kept: "
            "run the same command again, with fewer --workers where memory is short"
        )


def embed_locally(
    embedding: Embedding, tasks: Iterable[ShardTask], *, num_workers: int, on_image: Callable[[], None]
) -> None:
    """Embed every task with at most `num_workers` processes of one thread; they are ended when this returns or raises.

    Raises:
        OutsideError: a process was ended from outside, or the runtime is not installed.
        GateError: the artifact does not run.
        OSError: a shard cannot be written.
    """
    waiting = iter(tasks)
    first = list(islice(waiting, num_workers))
    waiting = chain(first, waiting)
    with _started(embedding, len(first)) as workers:
        busy = {worker.pipe: worker for worker in workers if worker.give(waiting)}
        while busy:
            for worker in [busy[pipe] for pipe in busy.keys() & set(wait(list(busy)))]:
                message = worker.receive()
                if isinstance(message, Exception):
                    raise message
                if message == "image":
                    on_image()
                elif not worker.give(waiting):
                    del busy[worker.pipe]


@contextmanager
def _started(embedding: Embedding, num_workers: int) -> Iterator[list[_Worker]]:
    context = get_context("spawn")  # runtimes start threads, which do not survive a fork
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for index in range(num_workers):
                ours, theirs = context.Pipe()
                errors = Path(folder) / f"{index}.txt"
                process = context.Process(target=_work, args=(embedding, theirs, errors), daemon=True)
                with _deaf_to_ctrl_c():
                    process.start()
                theirs.close()
                workers.append(_Worker(process, ours, errors))
            yield workers
        finally:
            for worker in workers:
                worker.process.kill()  # whatever it holds is a shard that is written whole or not at all
            for worker in workers:
                worker.process.join()
                worker.pipe.close()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process started in here never hears ctrl-C, which a terminal sends to all: this one ends the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(embedding: Embedding, pipe: Connection, errors: Path) -> None:
    """The whole of a worker process: it ends when the pipe does."""
    with errors.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        embedder = ShardEmbedder(embedding)
        while True:
            embedder.embed(pipe.recv(), lambda: pipe.send("image"))
            pipe.send("shard")
    except (EOFError, ConnectionError):
        return
    except (InputError, OSError) as error:
        pipe.send(error)
