"""What an embed run shows, on standard error: a progress line, or in a log a line now and then."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

LINE_EVERY_S = 30.0  # where standard error is a file


class EmbedScreen:
    """Counts images; the rate is over all that this run has embedded of the current artifact."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._text = ""
        self._label, self._num_before, self._num_all = "", 0, 0
        self._num_done, self._start, self._last_line = 0, 0.0, 0.0
        self._live = Live(console=self._console, transient=True, get_renderable=self._line)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """What is being done before the first image."""
        self._label, self._text = "", text

    def warn(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def begin(self, label: str, num_before: int, num_all: int) -> None:
        """An artifact begins, with `num_before` of its `num_all` images embedded by an earlier run."""
        self._label, self._num_before, self._num_all = label, num_before, num_all
        self._num_done = 0
        self._start = self._last_line = time.monotonic()

    def on_image(self) -> None:
        """One more image is done."""
        self._num_done += 1
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> Text:
        if not self._label:
            return Text(self._text)
        seconds = time.monotonic() - self._start
        return Text(progress_line(self._label, self._num_before, self._num_done, self._num_all, seconds))


def progress_line(label: str, num_before: int, num_done: int, num_all: int, seconds: float) -> str:
    """Images so far, images a second, and at that rate the time left; `num_before` were there before this run."""
    text = f"{label}: {num_before + num_done:,} of {num_all:,} images"
    if not num_done or seconds <= 0:
        return text
    rate = num_done / seconds
    left = timedelta(seconds=round((num_all - num_before - num_done) / rate))
    return f"{text}, {rate:,.1f} images/s, {left} left"
