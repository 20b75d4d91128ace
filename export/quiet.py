"""Converters write to the process's own stdout and stderr, from C++ too; here that goes to a log, not to the user."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def output_to(log_path: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to `log_path` while the block runs.

    Rich consoles made before keep working if they write to a duplicate of the terminal: see `terminal`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(fd) for fd in (1, 2)]
    with log_path.open("ab") as log, warnings.catch_warnings():
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)


def terminal() -> int:
    """A duplicate of stderr's file descriptor, which `output_to` leaves alone: progress is written there."""
    return os.dup(2)
