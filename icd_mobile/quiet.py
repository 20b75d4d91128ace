"""What converters do to the process around them, kept from the user: their prints, and interrupts they swallow."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


@contextmanager
def output_to(log_path: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2, which C++ writes to as well, to `log_path` while the block runs.

    `terminal` gives a stream that this leaves alone.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(fd) for fd in (1, 2)]
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:  # a full disk must not cost the user the error line
                for fd, copy in zip((1, 2), saved, strict=True):
                    os.dup2(copy, fd)
                    os.close(copy)


def terminal() -> int:
    """A duplicate of stderr's file descriptor, which `output_to` leaves alone: progress is written there."""
    return os.dup(2)


@contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt in the block is raised again at its end, in case a bare `except:` in a converter ate it."""
    interrupted = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, on_interrupt)
    except ValueError:  # not the main thread: no interrupt arrives here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
