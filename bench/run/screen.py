"""What a bench run shows while it runs: on standard error, so that standard output holds results alone."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.records.record import Record
from bench.records.rows import interval, make_row
from bench.run.passes import PREPROCESSING

# Share of an artifact's time that each pass takes, about: only the estimate of the time left depends on it.
_SHARES = {"load": 0.15, "latency": 0.35, "memory": 0.1, "accuracy": 0.3, "stability": 0.1}
_WORDS = {
    "load": "load in fresh processes",
    "latency": "latency",
    "memory": "memory",
    "accuracy": "accuracy",
    "stability": "stability",
}


class Screen:
    """A progress line, and a line that stays for each artifact as it ends."""

    def __init__(self, *, quiet: bool = False) -> None:
        """With `quiet` nothing is shown."""
        self._console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=600,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._index, self._count, self._label = 0, 0, ""
        self._has_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.live.stop()  # `Progress.stop` adds an empty line where there is no terminal

    def preparing(self, what: str, done: int, total: int) -> None:
        """Something before the first artifact, image `done` of `total`."""
        self._show()
        self._progress.update(self._task, description=f"{what}: image {done} of {total}", completed=done, total=total)

    def working(self, what: str) -> None:
        """Something after the last artifact."""
        self._progress.update(self._task, description=what)

    def warn(self, line: str) -> None:
        """A line that stays."""
        self._console.print(f"warning: {line}", style="yellow", highlight=False, markup=False)

    def begin(self, index: int, count: int, label: str) -> None:
        """Artifact `index` (from 0) of `count` begins."""
        self._index, self._count, self._label = index, count, label
        self._show()
        if index == 0:
            self._progress.reset(self._task, total=float(count))
        self.on_progress("load", 0, 1)

    def on_progress(self, pass_name: str, done: int, total: int) -> None:
        """A pass of the current artifact has come to step `done` of `total`."""
        if pass_name == PREPROCESSING:  # takes its time from the pass that waits for it
            self._describe(f"{PREPROCESSING} image {done} of {total}")
            return
        names = list(_SHARES)
        before = sum(_SHARES[name] for name in names[: names.index(pass_name)])
        step = f" {done} of {total}" if total > 1 else ""
        self._describe(f"{_WORDS[pass_name]}{step}", self._index + before + _SHARES[pass_name] * done / total)

    def _describe(self, what: str, completed: float | None = None) -> None:
        text = f"[{self._index + 1}/{self._count}] {self._label}: {what}".replace("[", r"\[")
        self._progress.update(self._task, description=text, completed=completed)

    def _show(self) -> None:
        """Begin the progress line; a run that stops before there is progress prints nothing but its error."""
        if not self._has_shown:
            self._has_shown = True
            self._progress.start()

    def finished(self, record: Record) -> None:
        """The current artifact is done."""
        self._progress.update(self._task, completed=self._index + 1.0)
        row = make_row(record)
        parts = [f"[{self._index + 1}/{self._count}] {self._label}"]
        if row.p50_ms is not None:
            parts.append(f"p50 {row.p50_ms:.1f} ms")
        if row.micro_ap is not None:
            parts.append(f"micro-AP {row.micro_ap:.3f} ({interval(row.micro_ap_low, row.micro_ap_high)})")
        parts += row.notes
        self._console.print(": ".join([parts[0], ", ".join(parts[1:])]), highlight=False, markup=False)
