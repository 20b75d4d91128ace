"""Progress bars on standard error, so that standard output stays for results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

Item = TypeVar("Item")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} images/s" if speed else "- images/s")


def image_progress(disable: bool = False) -> Progress:
    """Count, images/s and time left; its console is standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=disable)


def track_images(images: Iterable[Item], num_images: int, what: str) -> Iterator[Item]:
    """Pass images through while showing count, images/s and time left."""
    with image_progress() as progress:
        yield from progress.track(images, total=num_images, description=what)


@contextmanager
def track_bytes(what: str, done: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show bytes, MB/s and time left; call what it gives with the size of each further piece."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda num_bytes: progress.advance(task, num_bytes)


@contextmanager
def image_steps() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step of a work on images: call it with the step's name, the images done and the number of all."""
    with image_progress() as progress:
        tasks: dict[str, TaskID] = {}

        def on_image(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done)

        yield on_image
