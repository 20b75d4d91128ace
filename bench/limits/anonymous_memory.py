"""The peak of what a process holds beyond the files it has mapped.

`RssAnon` of /proc/self/status: resident pages that no file backs, so neither mapped descriptors nor shared libraries.
The kernel keeps no peak of it, so a thread reads it every 20 ms; a shorter peak can be missed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

INTERVAL_S = 0.02
HOW = "RssAnon of the whole process, read every 20 ms"


def anonymous_bytes() -> int | None:
    """Resident bytes that no file backs; None where the system does not say (it is Linux that does)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)


class PeakMemory:
    """Watches from `with` to its end; `peak_bytes` is None where the system does not say."""

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self._stopped = threading.Event()
        self._paused = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def pause(self) -> None:
        """What comes next is not ours."""
        self._paused.set()

    def resume(self) -> None:
        """Watch again."""
        self._paused.clear()

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            now = anonymous_bytes()
            if now is not None and not self._paused.is_set():
                self.peak_bytes = max(now, self.peak_bytes or 0)
